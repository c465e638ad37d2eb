"""A circuit breaker: stop asking a server that keeps failing, and look again after a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum


class Circuit(StrEnum):
    """Whether requests may pass."""

    CLOSED = "closed"
    """Requests pass."""
    OPEN = "open"
    """Too many failed in a row: nothing passes until the pause is over."""
    HALF_OPEN = "half-open"
    """The pause is over: one request at a time passes, and decides."""


class CircuitBreaker:
    """Opens after `failures` failed requests in a row; after `pause` seconds lets one through to see. Thread-safe."""

    def __init__(self, failures: int, pause: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._pause, self._clock = failures, pause, clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened: float | None = None
        self._probe: float | None = None

    @property
    def state(self) -> Circuit:
        """Whether the circuit is closed, open or half-open now."""
        with self._lock:
            return self._state()

    @property
    def seconds_left(self) -> float:
        """Seconds until a request may pass; 0 when one may now."""
        with self._lock:
            return 0.0 if self._opened is None else max(0.0, self._opened + self._pause - self._clock())

    def admits(self) -> bool:
        """Whether a request may pass now. In the half-open state it takes the one place there is."""
        with self._lock:
            state = self._state()
            if state is Circuit.CLOSED:
                return True
            # A probe that never reported (its row was cancelled) frees the place after another pause.
            if state is Circuit.OPEN or (self._probe is not None and self._clock() < self._probe + self._pause):
                return False
            self._probe = self._clock()
            return True

    def succeeded(self) -> None:
        """Note that a request was answered: the circuit closes."""
        with self._lock:
            self._failures, self._opened, self._probe = 0, None, None

    def failed(self) -> None:
        """Note that a request was not answered: too many in a row open the circuit."""
        with self._lock:
            self._failures += 1
            if self._probe is not None or self._failures >= self._limit:
                self._opened, self._probe = self._clock(), None

    def trip(self) -> None:
        """Open the circuit at once: who answers there is not who should."""
        with self._lock:
            self._failures, self._opened, self._probe = self._limit, self._clock(), None

    def _state(self) -> Circuit:
        if self._opened is None:
            return Circuit.CLOSED
        return Circuit.HALF_OPEN if self._clock() >= self._opened + self._pause else Circuit.OPEN
