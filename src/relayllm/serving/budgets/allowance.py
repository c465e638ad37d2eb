"""What one completion may spend: a policy of the decoder over its key's budget."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from relayllm.relay.prices import MILLION, Prices
from relayllm.relay.trace import Call, Ledger
from relayllm.serving.auth import Key
from relayllm.serving.budgets.local import Budgets, Reservation


class Allowance:
    """A policy of the decoder: the student decides, within its key's budget and a limit. One per completion.

    Tokens are set aside call by call, and what a call did not use goes back when it ends: so requests side by side do
    not wait for what none of them spends. Decoded in the engine's thread, closed in the event loop's.
    """

    written = True
    reads_entropy = False

    def __init__(self, budgets: Budgets, key: Key, limit: int | None = None, prices: Prices | None = None) -> None:
        self._budgets, self._key, self._limit, self._prices = budgets, key, limit, prices or Prices()
        self._running = Reservation(0, 0)
        self._closed = False
        self._lock = Lock()
        self.short = False
        """A call got less than it asked for, because the key's budget had no more."""

    @property
    def student_calls(self) -> bool:
        """While the request's own limit has something left, and the key has, or has refused no call yet.

        A call that the key refuses is written like one that fails: only so is it known that help was wanted.
        """
        if self._limit is not None and self._limit <= 0:
            return False
        return not self.short or self._budgets.has(self._key)

    def decide(self, row: object, entropy: float) -> int:
        """Always 0: only the student begins calls."""
        return 0

    def length(self, requested: int) -> int:
        """The n that was asked for, or what is left for it; 0 when other requests have spent the rest meanwhile."""
        wanted = requested if self._limit is None else min(requested, self._limit)
        # may wait for a database, hence without the lock
        reserved = self._budgets.reserve(self._key, wanted, self._prices.teacher / MILLION)
        with self._lock:
            if self._closed:
                self._budgets.release(self._key, reserved.tokens, reserved)
                return 0
            self._running = reserved
            self.short = self.short or reserved.tokens < wanted
            return reserved.tokens

    def settle(self, delivered: int) -> None:
        """End a call: what the teacher did not write goes back to the budget."""
        with self._lock:
            reserved, self._running = self._running, Reservation(0, 0)
            self._budgets.release(self._key, max(0, reserved.tokens - delivered), reserved)
            if self._limit is not None:
                self._limit -= min(delivered, reserved.tokens)

    def close(self, delivered: int) -> None:
        """End the completion, perhaps in the middle of a call that got so far."""
        self._closed = True
        self.settle(delivered)

    def book(self, ledger: Ledger, calls: Sequence[Call] = ()) -> None:
        """Book what the completion cost besides the tokens of its calls, reading included."""
        reserved = self._prices.parts(ledger)["teacher"]  # what `reserve` has counted, at the price of one teacher
        self._budgets.book(self._key, self._prices.cost(ledger, calls) - reserved)
