"""What passes between HTTP and the engine: requests one way, outputs the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from relayllm.relay.options import GenerationRequest
from relayllm.relay.row import Row
from relayllm.relay.trace import Author, Top, Trace
from relayllm.serving.budgets.allowance import Allowance


class QueueFull(Exception):
    """The queue is full."""


class EngineDeadError(Exception):
    """The engine failed on this request, or does not run any more."""


@dataclass(eq=False)
class EngineRequest:
    """One completion that an HTTP request waits for."""

    generation: GenerationRequest
    collector: RequestOutputCollector
    index: int = 0
    streamed: bool = False
    timed: bool = False
    """Note when the pen passes, for whoever draws it."""
    created: float = field(default_factory=time.monotonic)
    first: float = 0.0
    """When a stream's first token came; 0 for others."""
    ended: float = 0.0
    marks: list[tuple[float, Author]] = field(default_factory=list)
    """When the pen passed, and to whom."""
    marked: int = 0
    allowance: Allowance | None = None
    """Where its teacher tokens come from, when they are limited."""
    row: Row | None = None
    """The completion while it is written; the engine's own, to read. Nothing is noted token by token."""
    sent: int = 0
    """Tokens that the stream has got."""
    handle: int | None = None

    def settle(self) -> None:
        """Give back what the last call set aside and did not use, and set no more aside."""
        if self.allowance is not None:
            self.allowance.close(0 if self.row is None else len(self.row.call_tokens))

    def degraded_by(self, trace: Trace) -> list[str]:
        """Why its answer got less help than it asked for: the `teacher` failed, a `policy` refused, or the
        `key_budget` was spent."""
        short = self.allowance is not None and self.allowance.short
        return trace.degraded_by + ["key_budget"] * short

    def mark(self, authors: Sequence[Author], now: float) -> None:
        """Note which author has written since the last look."""
        for author in authors[self.marked:]:
            if not self.marks or self.marks[-1][1] is not author:
                self.marks.append((now, author))
        self.marked = len(authors)


@dataclass(frozen=True, slots=True)
class TokenDelta:
    """Tokens that a stream has not got yet, one entry per token in each field."""

    ids: Sequence[int]
    authors: Sequence[Author]
    logprobs: Sequence[float | None]
    tops: Sequence[Top]
    """Empty unless the request asks for the likeliest tokens."""

    @classmethod
    def of_row(cls, row: Row, start: int, stop: int) -> TokenDelta:
        """What a running completion has from `start` to `stop`."""
        return cls(row.ids[start:stop], row.authors[start:stop], row.logprobs[start:stop], row.tops[start:stop])

    @classmethod
    def of_trace(cls, trace: Trace, start: int = 0) -> TokenDelta:
        """What a finished completion has from `start` on."""
        return cls(trace.token_ids[start:], trace.authors[start:], trace.logprobs[start:], trace.tops[start:])


@dataclass(frozen=True, slots=True)
class RequestOutput:
    """What happened to a request: more tokens, its end, or its failure."""

    request: EngineRequest
    delta: TokenDelta | None = None
    trace: Trace | None = None
    error: Exception | None = None

    @property
    def ends(self) -> bool:
        """Whether nothing more will come of the request."""
        return self.trace is not None or self.error is not None


class RequestOutputCollector:
    """The outputs of one HTTP request's completions, until somebody takes them. For the event loop alone."""

    def __init__(self) -> None:
        self._outputs: list[RequestOutput] = []
        self._waiter: asyncio.Future[None] | None = None

    def put(self, output: RequestOutput) -> None:
        """Add an output, and wake whoever waits for one."""
        self._outputs.append(output)
        if self._waiter is not None:
            _wake(self._waiter)

    async def take(self, seconds: float | None = None) -> list[RequestOutput]:
        """All outputs there are; waits for some, and after so many seconds returns none.

        `asyncio.wait_for` makes a task for every wait; a timer is a tenth of that.
        """
        if not self._outputs:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = None if seconds is None else loop.call_later(seconds, _wake, self._waiter)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        outputs, self._outputs = self._outputs, []
        return outputs


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
