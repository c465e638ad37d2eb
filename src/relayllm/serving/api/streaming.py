"""An answer as a stream of server-sent events: chunks in OpenAI's format, with the author of every delta."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from relayllm.relay.detokenizer import Detokenizer
from relayllm.relay.trace import Author, Trace
from relayllm.serving.api.responses import Json, ResponseMeta, chat_logprobs, finish_reason, text_logprobs
from relayllm.serving.engine.prompts import ResponseTokenizer
from relayllm.serving.engine.requests import TokenDelta

SILENCE_SECONDS = 15.0
"""After so much silence a comment is sent, so that no proxy takes the connection for dead."""
DONE = b"data: [DONE]\n\n"


def sse(value: Json) -> bytes:
    """One event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


@dataclass
class ChoiceState:
    """What a stream has said of one choice."""

    text: Detokenizer
    characters: int = 0
    command: list[int] = field(default_factory=list)
    """Tokens of a command that is not whole yet."""
    offset: int = 0
    """Where the next token begins, as `text_offset` counts: in the texts of all tokens."""


class ChunkWriter:
    """Makes the chunks of one answer; knows per choice what was told so far. Text is made here, not by the engine."""

    def __init__(self, meta: ResponseMeta, tokens: ResponseTokenizer, *, chat: bool, usage: bool,
                 scored: bool, stop: Sequence[str] = ()) -> None:
        self._meta, self._tokens, self._chat, self._scored, self._stop = meta, tokens, chat, scored, stop
        self._more: Json = {"usage": None} if usage else {}
        self._choices: dict[int, ChoiceState] = {}

    def first(self, choice: int, echo: str = "") -> bytes:
        """The role, or the echoed prompt."""
        return self._chunk(choice, echo, None, first=True)

    def tokens(self, choice: int, delta: TokenDelta) -> Iterator[bytes]:
        """A chunk for each run of one author, and one for each call that begins."""
        told, start = self._told(choice), 0
        for author, group in groupby(delta.authors):
            stop = start + len(list(group))
            run = TokenDelta(delta.ids[start:stop], delta.authors[start:stop], delta.logprobs[start:stop],
                             delta.tops[start:stop])
            start = stop
            if author is Author.COMMAND:
                yield from self._commands(choice, told, run)
                continue
            text = told.text.extend(run.ids)
            told.characters += len(text)
            yield self._chunk(choice, text, None, relay={"author": author.value, "tokens": len(run.ids)},
                              logprobs=self._logprobs(told, run))

    def last(self, choice: int, trace: Trace, relay: Json | None = None) -> Iterator[bytes]:
        """What is still untold, and why it ended; the choice that ends last brings the relay's field."""
        rest = trace.text[self._told(choice).characters:]
        if rest:
            yield self._chunk(choice, rest, None)
        yield self._chunk(choice, "", finish_reason(trace), relay=relay)

    def usage(self, usage: Json) -> bytes:
        """The chunk that `stream_options.include_usage` asks for: it has no choices."""
        return sse(self._meta.json(choices=[], usage=usage))

    def _told(self, choice: int) -> ChoiceState:
        if choice not in self._choices:
            self._choices[choice] = ChoiceState(Detokenizer(self._tokens.tokenizer, self._tokens.commands, self._stop))
        return self._choices[choice]

    def _commands(self, choice: int, told: ChoiceState, run: TokenDelta) -> Iterator[bytes]:
        """Commands come token by token: tell them when they are whole, their log-probabilities at once."""
        if self._scored:
            yield self._chunk(choice, "", None, logprobs=self._logprobs(told, run))
        commands = self._tokens.commands
        for token in run.ids:
            told.command.append(token)
            n = commands.read(told.command)
            if n is not None:
                yield self._chunk(choice, "", None, relay={"author": "command", "call": n,
                                                           "tokens": len(told.command)})
                told.command = []

    def _logprobs(self, told: ChoiceState, run: TokenDelta) -> Json | None:
        if not self._scored:
            return None
        if self._chat:
            return chat_logprobs(self._tokens.tokenizer, run)
        found = text_logprobs(self._tokens.tokenizer, run, at=told.offset)
        told.offset += sum(map(len, found["tokens"]))
        return found

    def _chunk(self, choice: int, text: str, reason: str | None, *, first: bool = False,
               relay: Json | None = None, logprobs: Json | None = None) -> bytes:
        body: Json = {"index": choice, "logprobs": logprobs, "finish_reason": reason}
        if self._chat:
            body["delta"] = {"role": "assistant", "content": ""} if first else {"content": text} if text else {}
        else:
            body["text"] = text
        return sse(self._meta.json(choices=[body], **({"relay": relay} if relay else {}), **self._more))


async def gone(request: Request) -> None:
    """Return when the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def unless_gone(request: Request, work: Awaitable[Any]) -> tuple[bool, Any]:
    """Wait for `work`, or for the client to hang up: (True, its result) or (False, None)."""
    task, end = asyncio.ensure_future(work), asyncio.ensure_future(gone(request))
    try:
        await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
        return (True, task.result()) if task.done() else (False, None)
    finally:
        for one in (task, end):
            one.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await one


class EventStream(Response):
    """Sends what an iterator yields until it ends or the client goes; `close` is called either way."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncIterator[bytes], close: Callable[[], None]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._chunks, self._close = chunks, close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        async def hung_up() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        sending, end = asyncio.ensure_future(self._send_all(send)), asyncio.ensure_future(hung_up())
        try:
            await asyncio.wait({sending, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._close()
            for task in (sending, end):
                task.cancel()
            await asyncio.gather(sending, end, return_exceptions=True)

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for chunk in self._chunks:
            await send(_body(chunk, more=True))
        await send(_body(b"", more=False))


def _body(chunk: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}
