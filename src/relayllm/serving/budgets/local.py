"""Budgets in this process: what each key has at hand today, by unit, and what it has spent.

They count per UTC day. A spent budget costs an answer the teacher's help, never its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from threading import RLock

from relayllm.serving.auth import Key

VARIABLE = "RELAY_BUDGETS_URL"
"""Names the database of servers that share budgets."""
TOKENS, MONEY = "tokens", "money"
DAY = 86400
CRUMB = 0.001
"""Share of a budget of money that a call for tokens without a price must find in it."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Teacher tokens set aside from a key's budget, what each costs, and the day whose budget it was."""

    tokens: int
    day: int
    price: float = 0.0


@dataclass(eq=False, slots=True)
class DailyBudget:
    """One unit of a key's budget on one day, as far as this process holds it."""

    name: str
    """The key's."""
    unit: str
    """`tokens` or `money`."""
    day: int
    limit: float
    """What all servers together may spend."""
    held: float = 0.0
    """At hand here; below 0: money that was owed when the answers that run had to be read."""
    spent: float = 0.0
    """Here, what is set aside for running calls included."""
    wanted: float = 0.0
    """What somebody waits for, where budgets are shared."""
    touched: float = 0.0
    """When somebody last asked."""
    dry: float = 0.0
    """Until when no more is asked for: there was too little."""

    def price(self, of_token: float) -> float:
        """What a teacher token takes out of it."""
        return 1.0 if self.unit == TOKENS else of_token

    def needs(self, tokens: int, of_token: float) -> float:
        """What should be at hand for so many teacher tokens."""
        price = self.price(of_token)
        return tokens * price if price else self.limit * CRUMB

    def affords(self, of_token: float) -> float:
        """How many teacher tokens it can pay."""
        price = self.price(of_token)
        return 0 if self.held <= 0 else self.held / price + 1e-9 if price else inf

    def pay(self, amount: float) -> None:
        """Spend; below 0: get back."""
        self.held -= amount
        self.spent += amount


class Budgets:
    """What the keys of this process may still spend today. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._day = 0
        self._daily: dict[tuple[str, str], DailyBudget] = {}
        self._lock = RLock()

    def reserve(self, key: Key, wanted: int, price: float = 0.0) -> Reservation:
        """Set aside up to `wanted` teacher tokens of a price each. Give back what is left over."""
        with self._lock:
            budgets, day = self._today(key), self._day
            for budget in budgets:
                self._fill(budget, budget.needs(wanted, price))
            tokens = max(0, int(min([wanted, *(budget.affords(price) for budget in budgets)])))
            for budget in budgets:
                budget.pay(tokens * budget.price(price))
            return Reservation(tokens, day, price)

    def release(self, key: Key, tokens: int, reserved: Reservation) -> None:
        """Give back what was set aside on a day and not spent: the next day's budget gains nothing."""
        with self._lock:
            for budget in self._today(key):
                if budget.day == reserved.day:
                    budget.pay(-tokens * budget.price(reserved.price))

    def book(self, key: Key, money: float) -> None:
        """Book what an answer cost besides the teacher tokens that were set aside for it."""
        with self._lock:
            for budget in self._today(key):
                if budget.unit == MONEY:
                    budget.pay(money)

    def has(self, key: Key) -> bool:
        """Whether anything is left of today's budget."""
        with self._lock:
            return all(self._has(budget) for budget in self._today(key))

    def spent(self) -> dict[str, int]:
        """Teacher tokens that this process has spent today, set aside ones included, by the name of the key."""
        return {name: int(spent) for name, spent in self._spent(TOKENS).items()}

    def money(self) -> dict[str, float]:
        """Money that this process has spent today, by the name of the key."""
        return self._spent(MONEY)

    def key_gauges(self) -> Iterable[tuple[str, str, dict[str, str], float]]:
        """What each key with a budget has spent today, by unit."""
        for unit, spent in ((TOKENS, self.spent()), (MONEY, self.money())):
            for name, amount in spent.items():
                yield "relay_key_spent", "Spent by a key today on this server", {"key": name, "unit": unit}, amount

    def gauges(self) -> Iterable[tuple[str, str, dict[str, str], float]]:
        """What Prometheus should see besides what is spent."""
        return ()

    def close(self) -> None:
        """Let go of what keeps the budgets: no more is spent."""

    def _fill(self, budget: DailyBudget, amount: float) -> None:
        """See that so much is at hand, where it can be: here it is from the start."""

    def _has(self, budget: DailyBudget) -> bool:
        return budget.held > 0

    def _open(self, budget: DailyBudget) -> DailyBudget:
        """The first use of a budget on its day."""
        budget.held = budget.limit
        return budget

    def _today(self, key: Key) -> list[DailyBudget]:
        today = int(self._clock() // DAY)
        if today != self._day:
            self._day, self._daily = today, {}
        limits = ((TOKENS, key.per_day), (MONEY, key.money_per_day))
        return [self._budget(key.name, unit, limit) for unit, limit in limits if limit is not None]

    def _budget(self, name: str, unit: str, limit: float) -> DailyBudget:
        found = self._daily.get((name, unit))
        if found is None:
            found = self._daily[name, unit] = self._open(DailyBudget(name, unit, self._day, float(limit)))
        return found

    def _spent(self, unit: str) -> dict[str, float]:
        with self._lock:
            today = int(self._clock() // DAY)
            return {budget.name: budget.spent for budget in self._daily.values()
                    if budget.unit == unit and budget.day == today}
