"""The teacher's side of the scheduler: a model in this process, or one that answers when it can."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from relayllm.errors import TeacherError
from relayllm.relay.batching import DYNAMIC_BATCHING, DynamicBatching
from relayllm.relay.command import ALL_DIGITS
from relayllm.relay.engine import Engine, StepInput
from relayllm.relay.protocols import CallRequest, CallServer, ServedCall
from relayllm.relay.randomness import key_of, uniform
from relayllm.relay.row import Row

LOG = logging.getLogger("relayllm.relay")
TEACHER_SALT = 0x7EAC
"""Keeps the teacher's random numbers apart from the student's at the same position."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The tokens that a call brought since the last `advance`, and whether it is over."""

    tokens: tuple[int, ...] = ()
    """In the teacher's vocabulary."""
    finished: bool = False
    """The teacher wrote its end of text."""
    error: Exception | None = None
    over: bool = False
    """Nothing more will come for this call, n or no n."""


class Teacher(Protocol):
    """A model that writes the tokens of calls."""

    @property
    def up(self) -> bool:
        """Whether calls reach it."""
        ...

    def advance(self, rows: Sequence[Row], *, writing: int) -> Iterable[tuple[Row, Delivery]]:
        """Serve the rows whose pen it holds, while so many others write; yields those with news."""
        ...

    def begin(self, row: Row) -> None:
        """Begin a call; `row.teacher_pending` is up to date."""
        ...

    def release(self, row: Row) -> None:
        """Free what is kept for a row: it is over, or its call is cancelled."""
        ...

    def wait(self, seconds: float) -> None:
        """Nothing else is to do: sleep until there are news, at most so long."""
        ...

    def reserve(self, rows: int, tokens: int) -> None:
        """Make room for so many rows of so many tokens."""
        ...

    def close(self) -> None:
        """Free what it holds: no more calls come. May be called again."""
        ...


def draw_for(row: Row) -> float:
    """The teacher's random number for the row's next token."""
    return uniform(key_of(row.key, TEACHER_SALT), row.position + len(row.call_tokens))


class LocalTeacher:
    """A model in this process: calls gather, then every calling row gets a token per step, all in one batch."""

    def __init__(self, engine: Engine, batching: DynamicBatching = DYNAMIC_BATCHING) -> None:
        self.engine, self._batching = engine, batching
        self._handles: dict[int, int] = {}
        self._waited = 0
        """Steps since the first of the calls began that now wait."""

    @property
    def up(self) -> bool:
        """Always true: a model in this process does not go away."""
        return True

    def begin(self, row: Row) -> None:
        """Open a cache at the row's first call; from then on count what is found in it."""
        if id(row) not in self._handles:
            self._handles[id(row)] = self.engine.open()
        row.teacher_name = self.engine.name
        row.teacher_cached += self.engine.length(self._handles[id(row)])

    def advance(self, rows: Sequence[Row], *, writing: int) -> Iterable[tuple[Row, Delivery]]:
        """One step of the batch, unless calls still gather; a call that begins joins one that is being written.

        A forward that fails ends every call of the batch, and nothing else.
        """
        begun = any(row.call_tokens for row in rows)
        if not begun and not self._batching.serves(calling=len(rows), writing=writing, waited=self._waited):
            self._waited += 1
            return
        self._waited = 0
        try:
            output = self.engine.step([self._step_input(row) for row in rows])
        except Exception as error:  # out of memory, a device that is lost: the student can still finish
            yield from self._failed(rows, error)
            return
        share = output.seconds / len(rows)
        for row, token in zip(rows, output.tokens, strict=True):
            row.teacher_pending = [token]
            row.teacher_seconds += share
            yield row, Delivery((token,), finished=token in self.engine.ends)

    def _failed(self, rows: Sequence[Row], cause: Exception) -> list[tuple[Row, Delivery]]:
        """What their caches have read is not known any more: they are given up, and these rows call no more."""
        error = TeacherError(f"teacher {self.engine.name} failed in a forward of {len(rows)} calls "
                             f"({type(cause).__name__}: {cause}): the student finishes them alone; if it is out of "
                             "memory, give it fewer slots or a shorter context")
        error.__cause__ = cause
        LOG.error("%s", error, exc_info=cause)
        for row in rows:
            self.release(row)
        return [(row, Delivery(error=error)) for row in rows]

    def release(self, row: Row) -> None:
        """Free the row's cache."""
        handle = self._handles.pop(id(row), None)
        if handle is not None:
            self.engine.close(handle)

    def wait(self, seconds: float) -> None:
        """Never idle: a calling row always has a next token."""

    def reserve(self, rows: int, tokens: int) -> None:
        """Caches grow to what is asked."""
        self.engine.reserve(rows, tokens)

    def close(self) -> None:
        """Nothing to do: memory of a model in this process is freed with its last reference."""

    def _step_input(self, row: Row) -> StepInput:
        options = row.options
        return StepInput(self._handles[id(row)], row.teacher_pending, ALL_DIGITS, False, options.teacher_temperature,
                         options.top_p, 0.0, draw_for(row) if options.teacher_temperature else 0.0)


class RemoteTeacher:
    """A server somewhere: one request per call, no row waits for another (see `engines.openai.teacher`)."""

    def __init__(self, server: CallServer) -> None:
        self.server = server
        self._streams: dict[int, tuple[ServedCall, float]] = {}
        self._views: dict[int, list[int]] = {}
        self._read: dict[int, dict[str, int]] = {}
        """Per row how much of the view each teacher has read."""

    @property
    def up(self) -> bool:
        """Whether its server is asked at all: not while it has failed too often."""
        return bool(self.server.up)

    def begin(self, row: Row) -> None:
        """Send all of the row that its teacher is to read, and ask for as many tokens as the call was granted."""
        view = self._views.setdefault(id(row), [])
        row.teacher_cached += len(view)
        view += row.teacher_pending
        row.teacher_pending = []
        request = CallRequest(tuple(view), row.teacher_left, row.options.teacher_temperature, row.options.top_p,
                              seed=key_of(row.key, TEACHER_SALT, row.position) >> 33,
                              answer_start=len(row.teacher_prompt), messages=row.request.messages,
                              enable_thinking=row.options.enable_thinking, session=row.session, call=len(row.calls),
                              caller=row.request.caller)
        stream = self.server.submit(request)
        self._streams[id(row)] = (stream, time.perf_counter())
        row.teacher_name = stream.teacher

    def advance(self, rows: Sequence[Row], *, writing: int) -> Iterable[tuple[Row, Delivery]]:
        """Collect what came for each call: a server batches by itself."""
        for row in rows:
            stream, started = self._streams[id(row)]
            done = stream.done  # read before the tokens: nothing may come in between
            tokens = tuple(stream.take())
            row.teacher_name = stream.teacher
            self._views[id(row)] += tokens
            if done or tokens:
                self._account(row)
            if done:
                row.teacher_seconds += time.perf_counter() - started
                nothing = not (stream.finished or tokens or row.call_tokens)
                silent = TeacherError("the teacher answered nothing, and did not say that it was finished")
                yield row, Delivery(tokens, stream.finished, stream.error or (silent if nothing else None), over=True)
            elif tokens:
                yield row, Delivery(tokens)

    def _account(self, row: Row) -> None:
        """Count as read, and not as cached, what this teacher has not seen: another one served the row before."""
        read, view = self._read.setdefault(id(row), {}), self._views[id(row)]
        cached = row.teacher_cached - row.call_from[1]
        fresh = max(0, cached - read.get(row.teacher_name, 0))
        row.teacher_cached -= fresh
        row.teacher_prefilled += fresh
        read[row.teacher_name] = len(view)

    def release(self, row: Row) -> None:
        """Cancel the row's request, if one runs, and forget what its teacher has read."""
        self._read.pop(id(row), None)
        running = self._streams.pop(id(row), None)
        if running is not None and not running[0].done:
            running[0].cancel()
        self._views.pop(id(row), None)

    def wait(self, seconds: float) -> None:
        """Sleep until some call has news, at most so long."""
        self.server.wait(seconds)

    def reserve(self, rows: int, tokens: int) -> None:
        """Nothing to do: a server sizes its caches itself."""

    def close(self) -> None:
        """End all calls and close the server's connections; safe to call twice."""
        self.server.close()
