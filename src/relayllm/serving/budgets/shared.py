"""Budgets that several servers share: each sets parts of them aside in a database, and spends what it has at hand.

One thread speaks to the database. Who decodes waits for it only when too little is at hand, and not for long; nobody
else waits at all. While the database is down a server goes on with what it has at hand, then answers go on without the
teacher's help: never do all servers together grant more than a budget. Of one that is killed, what it had at hand is
lost for the day.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from threading import Condition, Event, Thread
from typing import TYPE_CHECKING

from relayllm.serving.auth import Key
from relayllm.serving.budgets.local import VARIABLE, Budgets, DailyBudget

if TYPE_CHECKING:
    from relayllm.serving.budgets.table import BudgetTable

PATIENCE = 0.5
"""Seconds that a call waits for the database; after them it counts as down."""
IDLE = 10.0
"""Seconds after which what nobody spends here is given back to the others, and a quiet database is looked after."""
REST = 1.0
"""Seconds before a database that is down, or a budget that is spent, is asked again."""
logger = logging.getLogger(__name__)


class SharedBudgets(Budgets):
    """What the keys may still spend today on all servers of a database."""

    def __init__(self, table: BudgetTable, clock: Callable[[], float] = time.time, *, patience: float = PATIENCE,
                 idle: float = IDLE, rest: float = REST) -> None:
        super().__init__(clock)
        self._table, self._patience, self._idle, self._rest = table, patience, idle, rest
        self._changed = Condition(self._lock)
        self._up, self._closing = True, Event()
        self._thread = Thread(target=self._work, name="relay-budgets", daemon=True)
        self._thread.start()

    def book(self, key: Key, money: float) -> None:
        """Book what an answer cost besides its teacher tokens; what is not at hand is owed, and paid soon."""
        super().book(key, money)
        with self._changed:
            self._changed.notify_all()

    def gauges(self) -> Iterable[tuple[str, str, dict[str, str], float]]:
        """Whether the database answers."""
        yield "relay_budgets_up", "1: the database of shared budgets answers", {}, self._up

    def close(self) -> None:
        """Give back what is at hand; a database that is down must do without."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(2 * self._patience)

    def _open(self, budget: DailyBudget) -> DailyBudget:
        return budget

    def _fill(self, budget: DailyBudget, amount: float) -> None:
        """Set more aside; waits for that, without the lock, while the database answers."""
        budget.touched = time.monotonic()
        end = budget.touched + self._patience
        while budget.held < amount and time.monotonic() >= budget.dry and not self._closing.is_set():
            self._ask(budget, amount)
            if not self._up:
                return
            if not self._changed.wait(end - time.monotonic()):
                return self._lost(f"no answer within {self._patience} s")

    def _has(self, budget: DailyBudget) -> bool:
        budget.touched = time.monotonic()
        if budget.held <= 0 and budget.touched >= budget.dry:
            self._ask(budget, budget.needs(1, 0.0))
        return budget.held > 0

    def _ask(self, budget: DailyBudget, amount: float) -> None:
        budget.wanted = max(budget.wanted, amount)
        self._changed.notify_all()

    def _work(self) -> None:
        """Visit the database for one budget after the other; at first none, to see whether the database answers."""
        budget: DailyBudget | None = None
        while not self._closing.is_set():
            try:
                self._visit(budget)
            except Exception as error:  # whatever it is: without this thread no key would get anything again
                self._lost(str(error).partition("\n")[0] or type(error).__name__)
                self._closing.wait(self._rest)
            budget = self._next()
        with suppress(Exception):
            for budget in list(self._daily.values()):
                self._visit(budget)
        self._table.close()

    def _next(self) -> DailyBudget | None:
        """The next budget to see to, as soon as there is one; None: it is time to see whether the database answers."""
        look = time.monotonic() + self._idle
        with self._changed:
            while self._up and not self._closing.is_set() and self._due() is None and time.monotonic() < look:
                self._changed.wait(self._rest)
            return self._due()

    def _due(self) -> DailyBudget | None:
        return next((budget for budget in self._daily.values() if budget.wanted or self._surplus(budget)), None)

    def _surplus(self, budget: DailyBudget) -> float:
        """What of it belongs into the database: all that nobody spends here, or below 0 what is owed."""
        idle = time.monotonic() - budget.touched > self._idle or self._closing.is_set()
        return budget.held if budget.held < 0 or (idle and not budget.wanted) else 0.0

    def _visit(self, budget: DailyBudget | None) -> None:
        """One transaction. What it gave back is lost here even if it fails: it may have arrived."""
        back = amount = wanted = 0.0
        try:
            with self._table.visit() as visit:  # it answers: only now is anything taken out of the budget
                if budget is not None:
                    with self._lock:
                        back, wanted = self._surplus(budget), budget.wanted
                        budget.held -= back
                    amount = visit.exchange(budget, back, wanted)
        except Exception:
            if budget is not None and back < 0:
                with self._lock:
                    budget.held += back
            raise
        self._answered(budget, wanted, amount)

    def _answered(self, budget: DailyBudget | None, wanted: float, amount: float) -> None:
        with self._changed:
            if not self._up:
                logger.warning("budgets: %s answers again", self._table.where)
            self._up = True
            if budget is not None:
                budget.held += amount
                budget.wanted = budget.wanted if budget.wanted > wanted else 0.0
                budget.dry = time.monotonic() + self._rest if amount < wanted else 0.0
            self._changed.notify_all()

    def _lost(self, why: str) -> None:
        with self._changed:
            if self._up:
                logger.warning("budgets: %s does not answer (%s): keys with a budget spend what this server has set "
                               "aside, then they get no help until it is back", self._table.where, why)
            self._up = False
            self._changed.notify_all()


def open_budgets(environment: Mapping[str, str], clock: Callable[[], float] = time.time) -> Budgets:
    """The budgets that the environment names: shared ones, or else those of this process.

    Raises:
        ConfigError: what it names is no database that can keep them.
    """
    address = environment.get(VARIABLE, "").strip()
    if not address:
        return Budgets(clock)
    from relayllm.serving.budgets.table import BudgetTable

    return SharedBudgets(BudgetTable(address), clock)
