"""One call of the remote teacher: attempts, deadline, and the answer as it comes in.

`CallStream` is the mailbox between the event loop, which fills it, and the scheduler, which empties it. `IdCodec`,
`MessagesCodec` and `TextCodec` say how tokens become a request and how the answer becomes tokens.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Protocol

from relayllm.engines.openai.breaker import CircuitBreaker
from relayllm.engines.openai.client import CompletionClient
from relayllm.engines.openai.handshake import CONTINUE, Handshake, ServerInfo
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.wire import PermanentError, StreamChunk, TransientError
from relayllm.errors import TeacherError
from relayllm.relay.protocols import CallRequest, Usage


class CallStream:
    """The tokens of one call as they arrive. `take` from any thread; read `done` before it, never after."""

    def __init__(self, notify: Callable[[], None] = lambda: None, teacher: str = "") -> None:
        self.teacher = teacher
        """Who is asked."""
        self._lock = threading.Lock()
        self._notify = notify
        self._fresh: list[int] = []
        self.done = False
        """Nothing more will come."""
        self.finished = False
        """Whether the teacher wrote its end of text."""
        self.error: TeacherError | None = None
        """Why the call failed; the tokens before it stand."""
        self.usage: Usage | None = None
        self.cancel: Callable[[], None] = self.close
        """End the call and its request; what arrived stays."""

    def take(self) -> list[int]:
        """The tokens that arrived since the last time."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
            return fresh

    def add(self, token_ids: Sequence[int]) -> None:
        """Append tokens that arrived."""
        if token_ids:
            with self._lock:
                self._fresh.extend(token_ids)
            self._notify()

    def close(self, *, finished: bool = False, error: TeacherError | None = None) -> None:
        """End the call; of several closings the first counts."""
        with self._lock:
            if self.done:
                return
            self.finished, self.error, self.done = finished, error, True
        self._notify()


class WireCodec(Protocol):
    """The tokens of one call on their way to a server and back."""

    @property
    def finished(self) -> bool:
        """Whether the teacher wrote its end of text."""
        ...

    def request(self) -> dict[str, Any]:
        """Prompt and length of the next attempt; an attempt takes up where it can."""
        ...

    def read(self, piece: StreamChunk) -> list[int]:
        """The tokens that one piece of the stream completes."""
        ...

    def rest(self, usage: Usage | None) -> list[int]:
        """The tokens that only the end of the stream completes; `usage` is what the server says of it.

        Raises:
            PermanentError: it is more than was asked for, and where to cut is not known.
        """
        ...


class IdCodec:
    """Ids both ways: teacher and student share a vocabulary. A cut answer is taken up where it broke off."""

    def __init__(self, request: CallRequest, stop_ids: frozenset[int], allowed: Callable[[int], bool]) -> None:
        self._request, self._stop, self._allowed = request, stop_ids, allowed
        self._received: list[int] = []
        self.finished = False

    def request(self) -> dict[str, Any]:
        """Ask for what is still missing."""
        return {"prompt": [*self._request.prompt_ids, *self._received], "return_token_ids": True,
                "max_tokens": self._request.n - len(self._received)}

    def read(self, piece: StreamChunk) -> list[int]:
        """The ids of one piece, the end of text left out.

        Raises:
            PermanentError: no ids came, or one that no teacher may write.
        """
        if piece.text and not piece.token_ids:
            raise PermanentError("the teacher's server returns text without token ids: restart with "
                                 "RELAY_TEACHER_MODE=text")
        ids = list(piece.token_ids or ())
        stopped = next((index for index, token in enumerate(ids) if token in self._stop), None)
        ids = ids[:stopped][:self._request.n - len(self._received)]
        wrong = next((token for token in ids if not self._allowed(token)), None)
        if wrong is not None:
            raise PermanentError(f"the teacher wrote token id {wrong}, which is a command of the student or unknown to "
                                 "it: they share no vocabulary")
        self.finished = self.finished or stopped is not None or piece.finish_reason == "stop"
        self._received += ids
        return ids

    def rest(self, usage: Usage | None) -> list[int]:
        """Nothing: every piece was whole, and cut to n."""
        return []


class TextCodec:
    """Text both ways, for servers that know no ids: encoded once, when the answer is whole."""

    def __init__(self, request: CallRequest, decode: Callable[[Sequence[int]], str],
                 encode: Callable[[str], list[int]]) -> None:
        self._request, self._decode, self._encode = request, decode, encode
        self._text = ""
        self.finished = False

    def request(self) -> dict[str, Any]:
        """Ask for the whole: how many tokens a cut text was is not known."""
        self._text = ""
        return {"prompt": self._decode(self._request.prompt_ids), "max_tokens": self._request.n}

    def read(self, piece: StreamChunk) -> list[int]:
        """Nothing yet: the piece's text is kept until the answer is whole."""
        self._text += piece.text
        self.finished = self.finished or piece.finish_reason == "stop"
        return []

    def rest(self, usage: Usage | None) -> list[int]:
        """The whole answer's tokens; a character that n cut in two is left out, as its bytes are no text.

        The server wrote n of its own at most, which may be more of the student's: cut to n of those, the text would end
        within a word.

        Raises:
            PermanentError: it says that it wrote more than n.
        """
        if usage is not None and usage.completion_tokens > self._request.n:
            raise PermanentError(f"the teacher's server wrote {usage.completion_tokens} tokens where {self._request.n} "
                                 "were asked for: it ignores max_tokens; ask one that keeps to it")
        return self._encode(self._text.rstrip("\ufffd"))


class MessagesCodec:
    """Text both ways, under the server's own chat template: the answer so far is its last message, and is continued.

    Templates strip a message, so space at the end of the answer is not sent, and taken off the reply where the teacher
    writes it again.
    """

    def __init__(self, request: CallRequest, answer: str, encode: Callable[[str], list[int]]) -> None:
        messages = [dict(message) for message in request.messages or ()]
        if messages and messages[-1]["role"] == "assistant":  # the conversation itself leaves it open
            answer = messages.pop()["content"] + answer
        self._request, self._messages, self._answer = request, messages, answer.rstrip()
        self._space = answer[len(self._answer):]
        self._text = TextCodec(request, lambda ids: "", encode)
        self._begun = False

    @property
    def finished(self) -> bool:
        """Whether the teacher wrote its end of text."""
        return self._text.finished

    def request(self) -> dict[str, Any]:
        """Ask for the whole: how many tokens a cut text was is not known."""
        self._begun = False
        asked = self._text.request()
        messages = [*self._messages]
        thinking = self._request.enable_thinking
        more: dict[str, Any] = {} if thinking is None else {"chat_template_kwargs": {"enable_thinking": thinking}}
        if self._answer:
            messages.append({"role": "assistant", "content": self._answer})
            more |= CONTINUE
        return {"messages": messages, "max_tokens": asked["max_tokens"], **more}

    def read(self, piece: StreamChunk) -> list[int]:
        """Nothing yet: the piece's text is kept until the answer is whole."""
        text = piece.text
        if text and not self._begun:
            self._begun = True
            text = text.removeprefix(self._space)
        return self._text.read(replace(piece, text=text))

    def rest(self, usage: Usage | None) -> list[int]:
        """The whole answer's tokens: n of the teacher's, which may be more of the student's."""
        return self._text.rest(usage)


class Caller:
    """Carries out calls against one server: bounded attempts with jitter, one deadline, the circuit breaker."""

    def __init__(self, client: CompletionClient, handshake: Handshake, breaker: CircuitBreaker, options: RemoteOptions,
                 codec: Callable[[ServerInfo, CallRequest], WireCodec]) -> None:
        self._client, self._handshake, self._breaker, self._options = client, handshake, breaker, options
        self._codec = codec

    async def run(self, request: CallRequest, stream: CallStream) -> None:
        """Fill the answer and close it."""
        limit = self._options.stall_seconds + request.n * self._options.token_seconds
        try:
            async with asyncio.timeout(limit):
                finished = await self._attempts(request, stream)
        except TimeoutError:
            self._fail(stream, f"teacher at {self._client.url} did not write {request.n} tokens within {limit:g} s: "
                               "is it overloaded?")
        except TransientError as fault:
            self._fail(stream, f"{fault}; gave up after {self._options.attempts} attempts")
        except PermanentError as refusal:
            if refusal.about_request:
                self._breaker.succeeded()  # the server is well: it read the request and answered
                stream.close(error=TeacherError(str(refusal)))
            else:
                self._handshake.forget()
                self._fail(stream, str(refusal))
        else:
            self._breaker.succeeded()
            stream.close(finished=finished)

    def _fail(self, stream: CallStream, fact: str) -> None:
        self._breaker.failed()
        stream.close(error=TeacherError(fact))

    async def _attempts(self, request: CallRequest, stream: CallStream) -> bool:
        # Jitter comes from the row's seed: it spreads the rows, and a run stays repeatable.
        jitter, codec, attempt = random.Random(request.seed), None, 1
        while True:
            try:
                known = await self._handshake.result()
                codec = codec or self._codec(known, request)
                await self._attempt(known.model, request, codec, stream)
                return codec.finished
            except TransientError as fault:
                if attempt >= self._options.attempts:
                    raise
                await asyncio.sleep(self._options.pause_before(attempt, fault.after, jitter.random()))
                attempt += 1

    async def _attempt(self, model: str, request: CallRequest, codec: WireCodec, stream: CallStream) -> None:
        asked = codec.request()
        if asked["max_tokens"] == 0:
            return  # cut after its last token
        body = {"model": model, "temperature": request.temperature, "top_p": request.top_p,
                "seed": request.seed % 2**31, **asked}
        async with aclosing(self._client.complete(body)) as parts:
            async for part in parts:
                if isinstance(part, Usage):
                    stream.usage = part
                else:
                    stream.add(codec.read(part))
        stream.add(codec.rest(stream.usage))
