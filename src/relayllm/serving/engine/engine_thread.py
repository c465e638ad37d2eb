"""One thread owns the decoder's running batch; requests come in by a queue, tokens go out to the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from relayllm.relay.row import Row
from relayllm.relay.scheduler import Finished, Session
from relayllm.relay.trace import Trace
from relayllm.serving.engine.requests import (
    EngineDeadError,
    EngineRequest,
    ModelReplaced,
    QueueFull,
    RequestOutput,
    TokenDelta,
)

LOG = logging.getLogger("relayllm.serving")
FLUSH_SECONDS = 0.02
"""Streams are told at most so often: to wake the event loop for every token would slow a fast model down."""
FAILURES = 3
"""Steps that fail in a row before the engine gives up."""


class EngineThread:
    """Runs a session in a thread of its own. Every public method may be called from any thread."""

    def __init__(self, open_session: Callable[[], Session], *, slots: int, queue: int, name: str = "engine",
                 on_finished: Callable[[EngineRequest, Trace], None] = lambda request, trace: None,
                 on_ended: Callable[[], None] = lambda: None) -> None:
        self._open_session, self.slots, self.queue = open_session, slots, queue
        self._on_finished, self._on_ended = on_finished, on_ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Condition()
        self._fresh: deque[EngineRequest] = deque()
        self._gone: deque[EngineRequest] = deque()
        self._asides: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._requests: dict[int, EngineRequest] = {}
        self._unplaced: deque[EngineRequest] = deque()
        """Those without a slot, in the request in which they get one."""
        self._cancelled: dict[int, EngineRequest] = {}
        self._pending = 0
        self._failures = 0
        self._closing = False
        self._broken: Exception | None = None
        self._told = 0.0
        self._mean_seconds = 1.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to work; news go to this loop."""
        self._loop = loop
        self._thread.start()

    @property
    def pending(self) -> int:
        """Orders that are not finished, waiting or running."""
        return self._pending

    @property
    def running(self) -> int:
        """Orders in slots."""
        return min(self._pending, self.slots)

    @property
    def waiting(self) -> int:
        """Orders without a slot."""
        return max(0, self._pending - self.slots)

    @property
    def alive(self) -> bool:
        """Whether it takes requests."""
        return self._thread.is_alive() and self._broken is None and not self._closing

    @property
    def retry_after(self) -> int:
        """Seconds until there is room, roughly: the queue's length by the pace of late."""
        return max(1, min(60, round(self._mean_seconds * (1 + self.waiting / self.slots))))

    def submit(self, requests: Iterable[EngineRequest]) -> None:
        """Queue all of these requests or none.

        Raises:
            QueueFull: the queue is full.
            EngineDeadError: the engine has ended.
            ModelReplaced: it ends, for another model.
        """
        new = list(requests)
        with self._lock:
            self._refuse_when_ended()
            if self._pending and self._pending + len(new) > self.slots + self.queue:
                raise QueueFull(f"{self._pending} completions are being written or waiting, and the queue ends there")
            self._pending += len(new)
            self._fresh.extend(new)
            self._lock.notify()

    def cancel(self, requests: Iterable[EngineRequest]) -> None:
        """Nobody waits for these any more: free their slots."""
        with self._lock:
            self._gone.extend(requests)
            self._lock.notify()

    def aside(self, work: Callable[[], Any]) -> Future[Any]:
        """Do something else with the models, between two steps.

        Raises:
            EngineDeadError: the engine has ended.
            ModelReplaced: it ends, for another model.
        """
        future: Future[Any] = Future()
        with self._lock:
            self._refuse_when_ended()
            self._asides.append((work, future))
            self._lock.notify()
        return future

    def close(self) -> None:
        """Finish what there is, then end; takes no new requests."""
        with self._lock:
            self._closing = True
            self._lock.notify()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the end; returns whether it came."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _refuse_when_ended(self) -> None:
        if self._broken is not None:
            raise EngineDeadError(str(self._broken))
        if self._closing:
            raise ModelReplaced

    def _run(self) -> None:
        try:
            session = self._open_session()
            while self._wait_for_work():
                session = self._round(session)
        except Exception as error:
            LOG.exception("the engine gave up")
            self._give_up(error)
        finally:
            self._on_ended()

    def _wait_for_work(self) -> bool:
        """Sleep while there is nothing to do; False when it is time to end."""
        if self._pending:
            return True
        with self._lock:
            while not (self._pending or self._gone or self._cancelled or self._asides or self._closing):
                self._lock.wait()
            return bool(self._pending or self._asides) or not self._closing

    def _round(self, session: Session) -> Session:
        """Take in what came, do one step, tell what happened."""
        outputs = self._take_in(session)
        self._do_asides()
        try:
            finished = self._step(session)
        except Exception as error:
            session, lost = self._start_over(session, error)
            self._tell(outputs + lost)
            return session
        outputs += self._place(session)
        for one in finished:
            request = self._requests.pop(one.handle, None)
            if request is not None:
                outputs.append(self._end(request, one.trace))
            elif one.handle in self._cancelled:
                self._count(self._cancelled.pop(one.handle), one.trace)
        if not session.busy:
            self._cancelled.clear()  # those that never had a slot leave no trace
        self._tell(outputs)
        return session

    def _step(self, session: Session) -> list[Finished]:
        if not session.busy:
            return []
        finished = session.step()
        self._failures = 0
        return finished

    def _take_in(self, session: Session) -> list[RequestOutput]:
        if not self._fresh and not self._gone:
            return []
        with self._lock:
            fresh, self._fresh = self._fresh, deque()
            gone, self._gone = self._gone, deque()
        outputs: list[RequestOutput] = []
        for request in fresh:
            try:
                request.handle = session.submit(request.generation)
                self._requests[request.handle] = request
                self._unplaced.append(request)
            except Exception as error:
                outputs.append(self._fail(request, error))
        for request in gone:
            if request.handle is not None and self._requests.pop(request.handle, None) is not None:
                session.cancel(request.handle)
                self._cancelled[request.handle] = request
                self._leave()
        return outputs

    def _place(self, session: Session) -> list[RequestOutput]:
        """Get hold of the rows of those that have a slot now; streams hear of their first token at once."""
        outputs: list[RequestOutput] = []
        while self._unplaced:
            request = self._unplaced[0]
            assert request.handle is not None
            request.row = session.row(request.handle)
            if request.row is None and request.handle in self._requests:
                break
            self._unplaced.popleft()
            if request.streamed and request.row is not None and request.row.ids:
                request.first = time.monotonic()
                outputs.append(_told(request, request.row))
        return outputs

    def _do_asides(self) -> None:
        if not self._asides:
            return
        with self._lock:
            asides, self._asides = self._asides, deque()
        for work, future in asides:
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)

    def _end(self, request: EngineRequest, trace: Trace) -> RequestOutput:
        self._count(request, trace)
        self._mean_seconds += 0.1 * (request.ended - request.created - self._mean_seconds)
        self._leave()
        return RequestOutput(request, TokenDelta.of_trace(trace, request.told) if request.streamed else None, trace)

    def _count(self, request: EngineRequest, trace: Trace) -> None:
        request.ended = time.monotonic()
        if request.streamed:
            request.first = request.first or request.ended
        if request.timed:
            request.mark(trace.authors, request.ended)
        try:
            self._on_finished(request, trace)
        except Exception:
            LOG.exception("counting an answer failed")

    def _fail(self, request: EngineRequest, error: Exception) -> RequestOutput:
        request.ended = time.monotonic()
        self._leave()
        return RequestOutput(request, error=EngineDeadError(f"{type(error).__name__}: {error}"))

    def _leave(self) -> None:
        with self._lock:
            self._pending -= 1

    def _start_over(self, session: Session, error: Exception) -> tuple[Session, list[RequestOutput]]:
        """A step failed: its rows are lost, the next ones get a new session."""
        LOG.exception("a step of the decoder failed; %d completions are lost", len(self._requests))
        self._failures += 1
        lost = [self._fail(request, error) for request in self._requests.values()]
        for handle in self._requests:
            session.cancel(handle)
        with suppress(Exception):
            session.step()  # every row is cancelled: this frees their caches and asks no model
        self._requests, self._cancelled = {}, {}
        self._unplaced.clear()
        if self._failures >= FAILURES:
            self._tell(lost)
            raise error
        return self._open_session(), lost

    def _give_up(self, error: Exception) -> None:
        with self._lock:
            self._broken = error
            fresh, self._fresh = list(self._fresh), deque()
            asides, self._asides = list(self._asides), deque()
        for _, future in asides:
            if future.set_running_or_notify_cancel():
                future.set_exception(EngineDeadError(str(error)))
        self._tell([self._fail(request, error) for request in (*fresh, *self._requests.values())])
        self._requests = {}

    def _tell(self, outputs: list[RequestOutput]) -> None:
        """Hand out what happened; streams wait a little after their first token, so that many travel in one go."""
        now = time.monotonic()
        due = now - self._told >= FLUSH_SECONDS
        if due:
            self._told = now
            outputs += [_told(request, request.row) for request in self._requests.values()
                        if request.streamed and request.row is not None and request.row.settled > request.told]
        for request in self._requests.values():
            if request.timed and request.row is not None:
                request.mark(request.row.authors, now)
        if outputs and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_hand_out, outputs)


def _told(request: EngineRequest, row: Row) -> RequestOutput:
    """A stream's outputs: what was written since it last heard."""
    delta = TokenDelta.of_row(row, request.told)
    request.told = row.settled
    return RequestOutput(request, delta)


def _hand_out(outputs: list[RequestOutput]) -> None:
    for item in outputs:
        item.request.collector.put(item)


def engine_of(decoder: Any, *, slots: int, queue: int, name: str = "engine",
              on_finished: Callable[[EngineRequest, Trace], None] = lambda request, trace: None) -> EngineThread:
    """The engine of a `RelayDecoder`; it ends the decoder's teacher, too."""
    return EngineThread(lambda: decoder.session(slots=slots), slots=slots, queue=queue, name=name,
                        on_finished=on_finished,
                        on_ended=lambda: None if decoder.teacher is None else decoder.teacher.close())
