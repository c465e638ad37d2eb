"""Meet a server: which model it serves, and whether it speaks in token ids that are ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from relayllm.engines.openai.client import CompletionClient, PermanentError, StreamChunk

MODEL_VARIABLE = "RELAY_TEACHER_MODEL"
PROBE = "Natalia sold 48/2 = 24 clips; $x^2 - 7x \\neq 1{,}024$.\n\n  Größe 你好 🙂 f(x): return x**2  # <|im_end|>\n"
"""Two tokenizers that cut this text into the same ids are taken for the same."""

Mode = Literal["auto", "ids", "text"]


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What is known of a server that was met."""

    model: str
    uses_ids: bool
    """Token ids go both ways; text otherwise."""


class Handshake:
    """Meets the server at the first call: once, however many calls wait for it. Use from one event loop."""

    def __init__(self, client: CompletionClient, expected: str | None, mode: Mode,
                 encode: Callable[[str], list[int]]) -> None:
        self._client, self._expected, self._mode, self._encode = client, expected, mode, encode
        self._task: asyncio.Task[ServerInfo] | None = None

    async def result(self) -> ServerInfo:
        """Who serves there.

        Raises:
            Hiccup: out of reach; the next one who asks tries again.
            PermanentError: another model than expected, several and none named, or no key.
        """
        if self._task is None or (self._task.done() and (self._task.cancelled() or self._task.exception())):
            self._task = asyncio.create_task(self._connect())
        return await asyncio.shield(self._task)

    def forget(self) -> None:
        """It is not who it was: meet again."""
        if self._task is not None and self._task.done():
            self._task = None

    async def _connect(self) -> ServerInfo:
        model = self._chosen(await self._client.models())
        return ServerInfo(model, self._mode == "ids" or (self._mode == "auto" and await self._shares_ids(model)))

    def _chosen(self, served: list[str]) -> str:
        names = ", ".join(f"'{name}'" for name in served)
        if self._expected is None and len(served) == 1:
            return served[0]
        if self._expected is None:
            raise PermanentError(f"teacher at {self._client.url} serves {names}, and none is chosen: name one in "
                                 f"{MODEL_VARIABLE}")
        if self._expected not in served:
            raise PermanentError(f"teacher at {self._client.url} serves {names}, expected '{self._expected}': start "
                                 f"the right "
                                 f"server or change {MODEL_VARIABLE}")
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
