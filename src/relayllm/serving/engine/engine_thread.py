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
                 on_finished: Callable[[EngineRequest, Trace], None] = lambda order, trace: None,
                 on_ended: Callable[[], None] = lambda: None) -> None:
        self._open_session, self.slots, self.queue = open_session, slots, queue
        self._on_finished, self._on_ended = on_finished, on_ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Condition()
        self._fresh: deque[EngineRequest] = deque()
        self._gone: deque[EngineRequest] = deque()
        self._asides: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._orders: dict[int, EngineRequest] = {}
        self._unplaced: deque[EngineRequest] = deque()
        """Those without a slot, in the order in which they get one."""
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
        """Whether it takes orders."""
        return self._thread.is_alive() and self._broken is None and not self._closing

    @property
    def retry_after(self) -> int:
        """Seconds until there is room, roughly: the queue's length by the pace of late."""
        return max(1, min(60, round(self._mean_seconds * (1 + self.waiting / self.slots))))

    def submit(self, orders: Iterable[EngineRequest]) -> None:
        """Queue all of these orders or none.

        Raises:
            QueueFull: the queue is full.
            EngineDeadError: the engine has ended.
            ModelReplaced: it ends, for another model.
        """
        new = list(orders)
        with self._lock:
            self._refuse_when_ended()
            if self._pending and self._pending + len(new) > self.slots + self.queue:
                raise QueueFull(f"{self._pending} completions are being written or waiting, and the queue ends there")
            self._pending += len(new)
            self._fresh.extend(new)
            self._lock.notify()

    def cancel(self, orders: Iterable[EngineRequest]) -> None:
        """Nobody waits for these any more: free their slots."""
        with self._lock:
            self._gone.extend(orders)
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
        """Finish what there is, then end; takes no new orders."""
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
        news = self._take_in(session)
        self._do_asides()
        try:
            finished = self._step(session)
        except Exception as error:
            session, lost = self._start_over(session, error)
            self._tell(news + lost)
            return session
        news += self._place(session)
        for one in finished:
            order = self._orders.pop(one.handle, None)
            if order is not None:
                news.append(self._end(order, one.trace))
            elif one.handle in self._cancelled:
                self._count(self._cancelled.pop(one.handle), one.trace)
        if not session.busy:
            self._cancelled.clear()  # those that never had a slot leave no trace
        self._tell(news)
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
        news: list[RequestOutput] = []
        for order in fresh:
            try:
                order.handle = session.submit(order.request)
                self._orders[order.handle] = order
                self._unplaced.append(order)
            except Exception as error:
                news.append(self._fail(order, error))
        for order in gone:
            if order.handle is not None and self._orders.pop(order.handle, None) is not None:
                session.cancel(order.handle)
                self._cancelled[order.handle] = order
                self._leave()
        return news

    def _place(self, session: Session) -> list[RequestOutput]:
        """Get hold of the rows of those that have a slot now; streams hear of their first token at once."""
        news: list[RequestOutput] = []
        while self._unplaced:
            order = self._unplaced[0]
            assert order.handle is not None
            order.row = session.row(order.handle)
            if order.row is None and order.handle in self._orders:
                break
            self._unplaced.popleft()
            if order.streamed and order.row is not None and order.row.ids:
                order.first = time.monotonic()
                news.append(_told(order, order.row))
        return news

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

    def _end(self, order: EngineRequest, trace: Trace) -> RequestOutput:
        self._count(order, trace)
        self._mean_seconds += 0.1 * (order.ended - order.created - self._mean_seconds)
        self._leave()
        return RequestOutput(order, TokenDelta.of_trace(trace, order.told) if order.streamed else None, trace)

    def _count(self, order: EngineRequest, trace: Trace) -> None:
        order.ended = time.monotonic()
        if order.streamed:
            order.first = order.first or order.ended
        if order.timed:
            order.mark(trace.authors, order.ended)
        try:
            self._on_finished(order, trace)
        except Exception:
            LOG.exception("counting an answer failed")

    def _fail(self, order: EngineRequest, error: Exception) -> RequestOutput:
        order.ended = time.monotonic()
        self._leave()
        return RequestOutput(order, error=EngineDeadError(f"{type(error).__name__}: {error}"))

    def _leave(self) -> None:
        with self._lock:
            self._pending -= 1

    def _start_over(self, session: Session, error: Exception) -> tuple[Session, list[RequestOutput]]:
        """A step failed: its rows are lost, the next ones get a new session."""
        LOG.exception("a step of the decoder failed; %d completions are lost", len(self._orders))
        self._failures += 1
        lost = [self._fail(order, error) for order in self._orders.values()]
        for handle in self._orders:
            session.cancel(handle)
        with suppress(Exception):
            session.step()  # every row is cancelled: this frees their caches and asks no model
        self._orders, self._cancelled = {}, {}
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
        self._tell([self._fail(order, error) for order in (*fresh, *self._orders.values())])
        self._orders = {}

    def _tell(self, news: list[RequestOutput]) -> None:
        """Hand out what happened; streams wait a little after their first token, so that many travel in one go."""
        now = time.monotonic()
        due = now - self._told >= FLUSH_SECONDS
        if due:
            self._told = now
            news += [_told(order, order.row) for order in self._orders.values()
                     if order.streamed and order.row is not None and len(order.row.ids) > order.told]
        for order in self._orders.values():
            if order.timed and order.row is not None:
                order.mark(order.row.authors, now)
        if news and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_hand_out, news)


def _told(order: EngineRequest, row: Row) -> RequestOutput:
    """A stream's news: what was written since it last heard."""
    piece = TokenDelta.of_row(row, order.told)
    order.told = len(row.ids)
    return RequestOutput(order, piece)


def _hand_out(news: list[RequestOutput]) -> None:
    for item in news:
        item.order.inbox.put(item)


def engine_of(decoder: Any, *, slots: int, queue: int, name: str = "engine",
              on_finished: Callable[[EngineRequest, Trace], None] = lambda order, trace: None) -> EngineThread:
    """The engine of a `RelayDecoder`; it ends the decoder's teacher, too."""
    return EngineThread(lambda: decoder.session(slots=slots), slots=slots, queue=queue, name=name, on_finished=on_finished,
                  on_ended=lambda: None if decoder.teacher is None else decoder.teacher.close())
