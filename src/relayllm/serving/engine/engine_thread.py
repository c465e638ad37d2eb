"""One thread owns the decoder's running batch; requests come in by a queue, tokens go out to the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from relayllm.relay.scheduler import Session
from relayllm.relay.trace import Trace
from relayllm.serving.engine.requests import EngineDeadError, EngineRequest, QueueFull, RequestOutput
from relayllm.serving.engine.running_batch import RunningBatch

T = TypeVar("T")

if TYPE_CHECKING:
    from relayllm.engines.decoder import RelayDecoder

LOG = logging.getLogger("relayllm.serving")


class EngineThread:
    """Runs a batch in a thread of its own. Every public method may be called from any thread."""

    def __init__(self, open_session: Callable[[], Session], *, slots: int, queue: int, name: str = "engine",
                 on_finished: Callable[[EngineRequest, Trace], None] = lambda request, trace: None,
                 on_ended: Callable[[], None] = lambda: None) -> None:
        self._open_session, self.slots, self.queue = open_session, slots, queue
        self._on_finished, self._on_ended = on_finished, on_ended
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Condition()
        self._new: deque[EngineRequest] = deque()
        self._gone: deque[EngineRequest] = deque()
        self._other_work: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._pending = 0
        self._closing = False
        self._broken: Exception | None = None
        self._mean_seconds = 1.0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the thread; outputs go to this event loop."""
        self._loop = loop
        self._thread.start()

    @property
    def pending(self) -> int:
        """Requests that are not finished, waiting or running."""
        return self._pending

    @property
    def running(self) -> int:
        """Requests in slots."""
        return min(self._pending, self.slots)

    @property
    def waiting(self) -> int:
        """Requests without a slot."""
        return max(0, self._pending - self.slots)

    @property
    def alive(self) -> bool:
        """Whether the engine takes requests."""
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
        """
        new = list(requests)
        with self._lock:
            self._refuse_when_ended()
            if self._pending and self._pending + len(new) > self.slots + self.queue:
                raise QueueFull(f"{self._pending} completions are being written or waiting, and the queue ends there")
            self._pending += len(new)
            self._new.extend(new)
            self._lock.notify()

    def cancel(self, requests: Iterable[EngineRequest]) -> None:
        """Free the slots of requests that nobody waits for any more."""
        with self._lock:
            self._gone.extend(requests)
            self._lock.notify()

    def run_between_steps(self, work: Callable[[], T]) -> Future[T]:
        """Run other work with the models between two steps; the future has its result.

        Raises:
            EngineDeadError: the engine has ended.
        """
        future: Future[T] = Future()
        with self._lock:
            self._refuse_when_ended()
            self._other_work.append((work, future))
            self._lock.notify()
        return future

    def close(self) -> None:
        """Take no new requests, finish those there are, then end."""
        with self._lock:
            self._closing = True
            self._lock.notify()

    def join(self, seconds: float | None = None) -> bool:
        """Wait for the thread to end; returns whether it did."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _refuse_when_ended(self) -> None:
        if self._broken is not None:
            raise EngineDeadError(str(self._broken))
        if self._closing:
            raise EngineDeadError("the engine is ending")

    def _run(self) -> None:
        batch = None
        try:
            batch = RunningBatch(self._open_session, self._on_finished)
            while self._wait_for_work(batch):
                self._send(self._take_in(batch))
                self._do_other_work()
                self._send(batch.step())
                if batch.fault is not None:
                    raise batch.fault
        except Exception as error:
            LOG.exception("the engine gave up")
            self._give_up(batch, error)
        finally:
            self._on_ended()

    def _wait_for_work(self, batch: RunningBatch) -> bool:
        """Sleep while there is nothing to do; False when it is time to end."""
        if batch.busy:
            return True
        with self._lock:
            while not (self._new or self._gone or self._other_work or self._closing):
                self._lock.wait()
            return bool(self._new or self._gone or self._other_work)

    def _take_in(self, batch: RunningBatch) -> list[RequestOutput]:
        if not self._new and not self._gone:
            return []
        with self._lock:
            new, self._new = self._new, deque()
            gone, self._gone = self._gone, deque()
        outputs = [output for request in new for output in batch.add(request)]
        left = sum(batch.cancel(request) for request in gone)
        with self._lock:
            self._pending -= left
        return outputs

    def _do_other_work(self) -> None:
        if not self._other_work:
            return
        with self._lock:
            waiting, self._other_work = self._other_work, deque()
        for work, future in waiting:
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)

    def _give_up(self, batch: RunningBatch | None, error: Exception) -> None:
        with self._lock:
            self._broken = error
            new, self._new = list(self._new), deque()
            waiting, self._other_work = list(self._other_work), deque()
        for _, future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(EngineDeadError(str(error)))
        lost = [RequestOutput(request, error=EngineDeadError(str(error))) for request in new]
        self._send(lost if batch is None else lost + batch.fail(error))

    def _send(self, outputs: list[RequestOutput]) -> None:
        """Give outputs to the event loop, all in one wake-up; what ended leaves the queue."""
        if not outputs:
            return
        for output in outputs:
            if output.trace is not None:
                request = output.request
                self._mean_seconds += 0.1 * (request.ended - request.created - self._mean_seconds)
        with self._lock:
            self._pending -= sum(output.ends for output in outputs)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_hand_out, outputs)


def _hand_out(outputs: list[RequestOutput]) -> None:
    for output in outputs:
        output.request.collector.put(output)


def engine_of(decoder: RelayDecoder, *, slots: int, queue: int, name: str = "engine",
              on_finished: Callable[[EngineRequest, Trace], None] = lambda request, trace: None) -> EngineThread:
    """The engine of a `RelayDecoder`; it lets go of the decoder's servers, too."""
    return EngineThread(lambda: decoder.session(slots=slots), slots=slots, queue=queue, name=name,
                        on_finished=on_finished,
                        on_ended=decoder.close)
