"""The decoder's running batch, and the requests in it: taken in, stepped, and told of their tokens. For one thread."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from relayllm.relay.scheduler import Finished, Session
from relayllm.relay.trace import Trace
from relayllm.serving.engine.requests import EngineDeadError, EngineRequest, RequestOutput, TokenDelta

LOG = logging.getLogger("relayllm.serving")
FLUSH_SECONDS = 0.02
"""Streams get tokens at most so often: to wake the event loop for every token would slow a fast model down."""
FAILURES = 3
"""Steps that fail in a row before the engine gives up."""


class RunningBatch:
    """A session of the decoder with the requests it works on; a session whose step fails is replaced by another."""

    def __init__(self, open_session: Callable[[], Session], on_finished: Callable[[EngineRequest, Trace], None],
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._open_session, self._on_finished, self._clock = open_session, on_finished, clock
        self._session = open_session()
        self._requests: dict[int, EngineRequest] = {}
        self._unplaced: deque[EngineRequest] = deque()
        """Those without a slot, in the order in which they get one."""
        self._cancelled: dict[int, EngineRequest] = {}
        self._failures = 0
        self._flushed = 0.0
        self.fault: Exception | None = None
        """Why it gave up: its steps failed again and again, or no session can be opened."""

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return self._session.busy

    def add(self, request: EngineRequest) -> list[RequestOutput]:
        """Submit a request; returns its failure when the session does not take it."""
        try:
            request.handle = self._session.submit(request.generation)
        except Exception as error:
            return [_failed(request, error)]
        self._requests[request.handle] = request
        self._unplaced.append(request)
        return []

    def cancel(self, request: EngineRequest) -> bool:
        """Free a request's slot with the next step; False when it is over already."""
        if request.handle is None or self._requests.pop(request.handle, None) is None:
            return False
        self._session.cancel(request.handle)
        self._cancelled[request.handle] = request
        return True

    def step(self) -> list[RequestOutput]:
        """One step of the decoder: first tokens of streams, what ended, and the tokens that streams are due."""
        outputs: list[RequestOutput] = []
        if self._session.busy:
            try:
                finished = self._session.step()
            except Exception as error:
                return self._start_over(error)
            self._failures = 0
            outputs = self._place() + self._ended(finished)
        return outputs + self._flush()

    def fail(self, error: Exception) -> list[RequestOutput]:
        """End every request with an error."""
        lost = [_failed(request, error) for request in self._requests.values()]
        self._requests, self._cancelled = {}, {}
        self._unplaced.clear()
        return lost

    def _place(self) -> list[RequestOutput]:
        """Get hold of the rows of those that have a slot now; a stream gets its first tokens at once."""
        outputs: list[RequestOutput] = []
        while self._unplaced:
            request = self._unplaced[0]
            assert request.handle is not None
            request.row = self._session.row(request.handle)
            if request.row is None and request.handle in self._requests:
                break
            self._unplaced.popleft()
            if request.streamed and (first := _unsent(request)):
                request.first = self._clock()
                outputs += first
        return outputs

    def _ended(self, finished: list[Finished]) -> list[RequestOutput]:
        outputs = []
        for one in finished:
            request = self._requests.pop(one.handle, None) or self._cancelled.get(one.handle)
            if request is None:
                continue
            self._count(request, one.trace)
            if self._cancelled.pop(one.handle, None) is not None:
                continue
            if one.error is not None:
                outputs.append(_failed(request, one.error))
            else:
                delta = TokenDelta.of_trace(one.trace, request.sent) if request.streamed else None
                outputs.append(RequestOutput(request, delta, one.trace))
        if not self._session.busy:
            self._cancelled.clear()  # those that never had a slot leave no trace
        return outputs

    def _count(self, request: EngineRequest, trace: Trace) -> None:
        request.ended = self._clock()
        if request.streamed:
            request.first = request.first or request.ended
        if request.timed:
            request.mark(trace.authors, request.ended)
        try:
            self._on_finished(request, trace)
        except Exception:
            LOG.exception("counting an answer failed")

    def _flush(self) -> list[RequestOutput]:
        """Tokens that streams have not got; after the first they wait a little, so that many travel in one go."""
        now = self._clock()
        for request in self._requests.values():
            if request.timed and request.row is not None:
                request.mark(request.row.authors, now)
        if now - self._flushed < FLUSH_SECONDS:
            return []
        self._flushed = now
        return [output for request in self._requests.values() if request.streamed for output in _unsent(request)]

    def _start_over(self, error: Exception) -> list[RequestOutput]:
        """A step failed: its rows are lost, the next ones get a new session."""
        LOG.exception("a step of the decoder failed; %d completions are lost", len(self._requests))
        self._failures += 1
        for handle in self._requests:
            self._session.cancel(handle)
        with suppress(Exception):
            self._session.step()  # every row is cancelled: this frees their caches and asks no model
        lost = self.fail(error)
        if self._failures >= FAILURES:
            self.fault = error
            return lost
        try:
            self._session = self._open_session()
        except Exception as reason:
            self.fault = reason
        return lost


def _unsent(request: EngineRequest) -> list[RequestOutput]:
    """The tokens of a stream that were written since it got some last, as far as they are scored if it wants that."""
    row = request.row
    if row is None or row.settled <= request.sent:
        return []
    delta = TokenDelta.of_row(row, request.sent, row.settled)
    request.sent = row.settled
    return [RequestOutput(request, delta)]


def _failed(request: EngineRequest, error: Exception) -> RequestOutput:
    request.ended = time.monotonic()
    return RequestOutput(request, error=EngineDeadError(f"{type(error).__name__}: {error}"))
