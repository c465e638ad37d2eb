"""Client of an OpenAI-compatible server: one streamed completion or chat completion, its answer chunk by chunk.

Knows HTTP and the protocol, nothing of rows or tokenizers. What may be tried again is a `TransientError`, what may not
a `PermanentError`. Whoever calls decides how often, and turns the last one into a `TeacherError`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import httpx

from relayllm.engines.openai.addresses import base_url
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.wire import (
    PermanentError,
    StreamChunk,
    TransientError,
    error_message,
    read_choice,
    read_usage,
)
from relayllm.errors import ConfigError
from relayllm.relay.protocols import Message, Usage
from relayllm.settings import without_secrets

KEY_VARIABLE = "RELAY_TEACHER_API_KEY"
BUSY = frozenset({408, 409, 425, 429})
LOCKED = frozenset({401, 403})


class CompletionClient:
    """One server, kept connections. Use from one event loop."""

    def __init__(self, url: str, options: RemoteOptions, *, api_key: str | None = None, role: str = "teacher",
                 key_variable: str = KEY_VARIABLE) -> None:
        self._root = base_url(url)
        self.url = without_secrets(self._root)
        """The server's address, as it may be told."""
        self._options, self._role, self._key_variable = options, role, key_variable
        key = self._checked((api_key if api_key is not None else os.environ.get(key_variable, "")).strip())
        limits = httpx.Limits(max_connections=options.connections, max_keepalive_connections=options.connections)
        timeout = httpx.Timeout(options.stall_seconds, connect=options.connect_seconds, pool=None)
        self._http = httpx.AsyncClient(limits=limits, timeout=timeout, trust_env=False,
                                       headers={"authorization": f"Bearer {key}"} if key else {})

    def _checked(self, key: str) -> str:
        """A key that a header can carry: the HTTP library would tell the others whole, in an error of its own."""
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(f"the API key of the {self._role} at {self.url} has a character that no header carries "
                              f"(a line break, or one outside ASCII): write it anew, in {self._key_variable} or where "
                              "the pool's key_variable points")
        return key

    async def models(self) -> list[str]:
        """The names of the models that the server offers."""
        answer = await self._send("GET", "/v1/models", None)
        rows = answer.get("data") if isinstance(answer, dict) else None
        found = [row.get("id") if isinstance(row, dict) else None for row in (rows if isinstance(rows, list) else [])]
        names = [name for name in found if isinstance(name, str)]
        if not names or len(names) < len(found):
            raise TransientError(f"{self.url}/v1/models answered something that is not a list of models")
        return names

    async def context_length(self, model: str) -> int:
        """What the server says of a model's context, in tokens; 0 when it does not."""
        answer = await self._send("GET", "/v1/models", None)
        found = [row.get("max_model_len") for row in answer.get("data") or () if row.get("id") == model]
        return int(found[0]) if found and isinstance(found[0], int) else 0

    async def tokenize(self, model: str, text: str) -> list[int] | None:
        """The server's tokens of a text; None when it has no such route (vLLM has)."""
        try:
            answer = await self._send("POST", "/tokenize", {"model": model, "prompt": text,
                                                             "add_special_tokens": False})
        except PermanentError as refusal:
            if refusal.status in LOCKED:
                raise
            return None
        tokens = answer.get("tokens") if isinstance(answer, dict) else None
        return tokens if isinstance(tokens, list) and all(isinstance(token, int) for token in tokens) else None

    async def complete(self, body: dict[str, Any]) -> AsyncGenerator[StreamChunk | Usage]:
        """Stream one completion, or chat completion where the body has messages.

        What breaks after its last token does not matter any more.

        Raises:
            TransientError: no connection, silence, a busy or broken server, a cut or unreadable stream.
            PermanentError: a status of 4xx that is not about being busy, or another model's answer.
        """
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        route = "/v1/chat/completions" if "messages" in body else "/v1/completions"
        finished = False
        try:
            async with self._http.stream("POST", self._root + route, json=body) as answer:
                if answer.status_code != 200:
                    raise self._fault(answer, await answer.aread())
                # Read on after [DONE]: a connection is kept only when its answer was read to the end.
                async for line in answer.aiter_lines():
                    for part in self._parts(line, body["model"]):
                        finished = finished or (isinstance(part, StreamChunk) and part.finish_reason is not None)
                        yield part
        except httpx.HTTPError as error:
            if not finished:
                raise self._transient(error) from error
        if not finished:
            raise TransientError(f"{self.url} ended its answer in the middle", lost=True)

    async def prompt_tokens(self, model: str, messages: Sequence[Message], **more: Any) -> int | None:
        """How many tokens the server makes of a conversation; None when it takes no such request, or does not say."""
        body = {"model": model, "messages": [dict(message) for message in messages], "max_tokens": 1,
                "temperature": 0, **more}
        try:
            answer = await self._send("POST", "/v1/chat/completions", body)
        except PermanentError as refusal:
            if refusal.status in LOCKED:
                raise
            return None
        usage = answer.get("usage") if isinstance(answer, dict) else None
        count = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        return count if isinstance(count, int) else None

    async def chat(self, body: dict[str, Any]) -> str:
        """The whole answer of a chat model to `messages`.

        Raises:
            TransientError, PermanentError: as `complete` does.
        """
        answer = await self._send("POST", "/v1/chat/completions", body)
        try:
            said = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise TransientError(f"{self.url} answered without a message: {str(answer)[:200]}") from error
        return said if isinstance(said, str) else ""

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()

    def _parts(self, line: str, model: str) -> list[StreamChunk | Usage]:
        """One line of the stream, checked: a server that answers garbage must not reach a completion."""
        data = line[5:].strip() if line.startswith("data:") else ""
        if not data or data == "[DONE]":
            return []
        try:
            event = json.loads(data)
        except ValueError as error:
            raise TransientError(f"{self.url} answered something that is not JSON: {data[:80]!r}") from error
        if not isinstance(event, dict) or "error" in event:
            raise TransientError(f"{self.url} answered {data[:200]}")
        if event.get("model") not in (None, model):
            raise PermanentError(f"teacher at {self.url} answers as '{event['model']}', asked for '{model}': start the "
                                 "right server or change the teacher's name")
        try:
            return [*map(read_choice, event.get("choices") or []), *read_usage(event.get("usage"))]
        except (TypeError, ValueError, AttributeError) as error:
            raise TransientError(f"{self.url} answered an event without sense: {data[:200]}") from error

    async def _send(self, method: str, path: str, body: Any) -> Any:
        try:
            async with asyncio.timeout(self._options.connect_seconds + self._options.stall_seconds):
                answer = await self._http.request(method, self._root + path, json=body)
        except (httpx.HTTPError, TimeoutError) as error:
            raise self._transient(error) from error
        if answer.status_code != 200:
            raise self._fault(answer, answer.content)
        try:
            return answer.json()
        except ValueError as error:
            raise TransientError(f"{self.url}{path} answered something that is not JSON") from error

    def _transient(self, error: Exception) -> TransientError:
        if isinstance(error, httpx.ConnectTimeout):
            return TransientError(f"no connection to {self.url} within {self._options.connect_seconds:g} s", lost=True)
        if isinstance(error, (httpx.TimeoutException, TimeoutError)):
            return TransientError(f"no word from {self.url} for {self._options.stall_seconds:g} s")
        return TransientError(f"{self.url}: {str(error) or type(error).__name__}", lost=True)

    def _fault(self, answer: httpx.Response, content: bytes) -> TransientError | PermanentError:
        """What a status other than 200 means."""
        status = answer.status_code
        fact = f"{self._role} at {self.url} answered {status}: {error_message(content)}"
        if status in BUSY or status >= 500:
            return TransientError(fact, after=_seconds(answer.headers.get("retry-after")))
        if answer.is_redirect:
            fact += f"; it points to {without_secrets(answer.headers.get('location', ''))[:200]}: give that address"
        if status in LOCKED:
            fact += f"; put its API key into the environment variable {self._key_variable}"
        return PermanentError(fact, status)


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header)) if header else 0.0
    except ValueError:
        return 0.0
