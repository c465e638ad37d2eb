"""One server of a student: whether it may be asked, and what it is busy with."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from relayllm.engines.openai.breaker import CircuitBreaker
from relayllm.engines.openai.client import CompletionClient
from relayllm.engines.openai.student_handshake import StudentHandshake
from relayllm.engines.openai.wire import PermanentError, TransientError

LOG = logging.getLogger("relayllm.engines.openai")


class StudentReplica:
    """One of several servers of the same student. Use from one event loop; `up` may be read anywhere."""

    def __init__(self, client: CompletionClient, handshake: StudentHandshake, breaker: CircuitBreaker) -> None:
        self.client, self.handshake, self.breaker = client, handshake, breaker
        self.running = 0
        """Segments in flight."""
        self._told = ""

    @property
    def up(self) -> bool:
        """Whether it was met, has not gone since, and its circuit is not open."""
        return self.handshake.known and self.breaker.seconds_left == 0

    @property
    def load(self) -> int | None:
        """Segments in flight; None while it is not up."""
        return self.running if self.up else None

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count a segment while it is written."""
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    async def look(self) -> None:
        """See whether it is still there, asked or not; one that was away is met as soon as it is back."""
        if self.breaker.seconds_left:
            return
        try:
            await self.client.models()
            await self.handshake.result()
        except (TransientError, PermanentError) as fault:
            self.suffered(fault)

    def suffered(self, fault: TransientError | PermanentError) -> None:
        """Note why it did not answer.

        One whose connection broke may be another server when it is back, with other weights: it is met again before it
        is asked. One that is not the student's is left out at once, until it is.
        """
        if isinstance(fault, TransientError):
            self.breaker.failed()
        elif fault.about_request:
            self.breaker.succeeded()  # the server is well: it read the request and answered
            return
        else:
            self.breaker.trip()
            self._warn(str(fault))
        if isinstance(fault, PermanentError) or fault.lost:
            self.handshake.forget()

    def _warn(self, fault: str) -> None:
        if fault != self._told:
            LOG.warning("%s; it is not asked until then", fault)
        self._told = fault
