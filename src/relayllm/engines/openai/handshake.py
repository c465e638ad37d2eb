"""Handshake with a server: which model it serves, and whether calls go as token ids, as messages or as raw text."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from relayllm.engines.openai.client import CompletionClient
from relayllm.engines.openai.wire import PermanentError, StreamChunk
from relayllm.relay.protocols import Message

LOG = logging.getLogger("relayllm.engines.openai")
TOKENIZER_VARIABLE = "RELAY_TEACHER_TOKENIZER"
MODEL_VARIABLE = "RELAY_TEACHER_MODEL"
PROBE = "Natalia sold 48/2 = 24 clips; $x^2 - 7x \\neq 1{,}024$.\n\n  Größe 你好 🙂 f(x): return x**2  # <|im_end|>\n"
"""Two tokenizers that cut this text into the same ids are taken for the same."""

Info = TypeVar("Info")
WireFormat = Literal["ids", "messages", "text"]
Mode = Literal["auto", "ids", "messages", "text"]
TURN: tuple[Message, ...] = ({"role": "user", "content": "Count to five."},
                             {"role": "assistant", "content": "One, two, three,"})
CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
"""How vLLM and SGLang are asked to write on in a last message of the assistant."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What the handshake found: the model that a server serves, and how calls are put to it."""

    model: str
    wire_format: WireFormat
    """`ids`: token ids go both ways. `messages`: text in messages, under the server's own chat template. `text`: the
    prompt goes as raw text, under the template of the tokenizer here: right only where that is the server's."""

    @property
    def uses_ids(self) -> bool:
        """Whether token ids go both ways."""
        return self.wire_format == "ids"


class OnceHandshake(Generic[Info]):
    """A handshake at the first request: once, however many wait for it. Use from one event loop."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Info] | None = None

    @property
    def known(self) -> bool:
        """Whether it was done, and the server is still taken for the one that was met."""
        task = self._task
        return task is not None and task.done() and not task.cancelled() and task.exception() is None

    async def result(self) -> Info:
        """What the handshake found; the first caller does it, the others wait.

        Raises:
            TransientError: out of reach; the next one who asks tries again.
            PermanentError: it is not the server that was expected, or wants another key.
        """
        if self._task is None or (self._task.done() and not self.known):
            self._task = asyncio.create_task(self._connect())
        return await asyncio.shield(self._task)

    def forget(self) -> None:
        """Repeat the handshake at the next request: the server answered as another one, or may be another now."""
        if self._task is not None and self._task.done():
            self._task = None

    async def _connect(self) -> Info:
        """Ask the server."""
        raise NotImplementedError


class Handshake(OnceHandshake[ServerInfo]):
    """Handshake with a teacher's server: the right model, and how calls are put to it."""

    def __init__(self, client: CompletionClient, expected: str | None, mode: Mode,
                 encode: Callable[[str], list[int]]) -> None:
        super().__init__()
        self._client, self._expected, self._mode, self._encode = client, expected, mode, encode

    async def _connect(self) -> ServerInfo:
        model = self._chosen(await self._client.models())
        return ServerInfo(model, await self._found(model) if self._mode == "auto" else self._mode)

    async def _found(self, model: str) -> WireFormat:
        if await self._shares_ids(model):
            return "ids"
        if await self._continues(model):
            return "messages"
        LOG.warning("teacher at %s has a tokenizer of its own and does not continue messages: it is sent raw text "
                    "under the chat template here, which need not be its own; name its tokenizer in %s, or serve it "
                    "with vLLM or SGLang", self._client.url, TOKENIZER_VARIABLE)
        return "text"

    async def _continues(self, model: str) -> bool:
        """Whether the server writes on in a last message of the assistant.

        One that ignores the request reads an end of turn and the beginning of another besides.
        """
        continued = await self._client.prompt_tokens(model, TURN, **CONTINUE)
        anew = await self._client.prompt_tokens(model, TURN)
        return continued is not None and anew is not None and continued < anew

    def _chosen(self, served: list[str]) -> str:
        names = ", ".join(f"'{name}'" for name in served)
        if self._expected is None and len(served) == 1:
            return served[0]
        if self._expected is None:
            raise PermanentError(f"teacher at {self._client.url} serves {names}, and none is chosen: name one in "
                                 f"{MODEL_VARIABLE}")
        if self._expected not in served:
            raise PermanentError(f"teacher at {self._client.url} serves {names}, expected '{self._expected}': start "
                                 f"the right server or change {MODEL_VARIABLE}")
        return self._expected

    async def _shares_ids(self, model: str) -> bool:
        """The probe is cut as ours is, and a completion of one token comes with its id."""
        ours = self._encode(PROBE)
        if await self._client.tokenize(model, PROBE) != ours:
            return False
        body = {"model": model, "prompt": ours[:8], "max_tokens": 1, "temperature": 0, "return_token_ids": True}
        try:
            parts = [part async for part in self._client.complete(body)]
        except PermanentError as refusal:
            if refusal.about_request:
                return False
            raise
        return any(isinstance(part, StreamChunk) and part.token_ids is not None for part in parts)
