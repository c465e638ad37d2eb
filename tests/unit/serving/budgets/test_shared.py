"""Budgets that servers share, without their database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from relayllm.relay.prices import Prices
from relayllm.serving.auth import Key
from relayllm.serving.budgets.allowance import Allowance
from relayllm.serving.budgets.shared import SharedBudgets
from relayllm.serving.budgets.table import portion

BEN = Key("ben", "s", 100)


def test_portion_is_what_is_wanted_or_a_part_of_plenty():
    assert portion(1000, 3, whole=True) == 50
    assert portion(30, 3, whole=True) == 3
    assert portion(2, 3, whole=True) == 2
    assert portion(-1, 3, whole=True) == 0
    assert portion(0.5, 0.01, whole=False) == pytest.approx(0.025)


class NeverAnswers:
    """A database that takes a visit and lets it wait."""

    where = "nowhere"

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()

    def visit(self):
        self.asked.set()
        self.go_on.wait()
        raise ConnectionError("gone")

    def close(self) -> None:
        pass


def test_completion_ends_while_its_call_waits_for_the_database():
    table = NeverAnswers()
    budgets = SharedBudgets(table, patience=3600.0)
    allowance = Allowance(budgets, BEN, prices=Prices())
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(allowance.length, 5)
        assert table.asked.wait(60)
        allowance.close(0)  # in the event loop of a server: it must not wait
        assert not call.done()
        table.go_on.set()
        assert call.result(20) == 0
