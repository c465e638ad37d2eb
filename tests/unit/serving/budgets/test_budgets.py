"""Budgets of one process, and what a completion may spend of them."""

from __future__ import annotations

import pytest

from relayllm.relay.prices import Prices
from relayllm.relay.trace import Ledger
from relayllm.serving.auth import OPEN, Key
from relayllm.serving.budgets.allowance import Allowance
from relayllm.serving.budgets.local import Budgets, Reservation


@pytest.fixture
def now():
    """The clock of `ben`, in seconds."""
    return [0.0]


@pytest.fixture
def ben(now):
    """Budgets, and a key with ten tokens a day."""
    return Budgets(lambda: now[0]), Key("ben", "s", 10)


def test_budget_is_taken_given_back_and_renewed_every_day(ben, now):
    budgets, key = ben
    assert [budgets.reserve(key, 6).tokens for _ in range(3)] == [6, 4, 0]
    assert not budgets.has(key)
    budgets.release(key, 3, Reservation(3, day=0))
    assert budgets.reserve(key, 6).tokens == 3
    now[0] = 86400.0
    assert budgets.has(key)
    assert budgets.reserve(key, 6).tokens == 6
    assert budgets.spent() == {"ben": 6}


def test_gauges_tell_what_each_key_has_spent_today(ben, now):
    budgets, key = ben
    budgets.reserve(key, 6)
    budgets.reserve(Key("eve", "s", None, 2.0), 4, 0.25)
    assert [(labels, value) for *_, labels, value in budgets.key_gauges()] == [
        ({"key": "ben", "unit": "tokens"}, 6), ({"key": "eve", "unit": "money"}, 1.0)]
    now[0] = 86400.0
    assert list(budgets.key_gauges()) == []


def test_tokens_of_yesterday_are_no_gain_of_today(ben, now):
    budgets, key = ben
    late, early = Allowance(budgets, key), Allowance(budgets, key)
    late.length(8)
    now[0] = 86400.0
    early.length(5)
    late.settle(delivered=1)
    assert budgets.spent() == {"ben": 5}


def test_allowance_takes_call_by_call_and_gives_back_what_a_call_did_not_use(ben):
    budgets, key = ben
    allowance = Allowance(budgets, key)
    assert (allowance.length(8), budgets.spent()) == (8, {"ben": 8})
    allowance.settle(delivered=3)
    assert (allowance.student_calls, allowance.short, budgets.spent()) == (True, False, {"ben": 3})


def test_allowance_that_meets_the_end_of_the_budget_is_short(ben):
    allowance, other = Allowance(*ben), Allowance(*ben)
    assert (allowance.length(7), other.length(7)) == (7, 3)
    assert (allowance.short, other.short) == (False, True)
    assert allowance.student_calls  # it has asked for nothing that it did not get
    assert (allowance.length(2), allowance.short, allowance.student_calls) == (0, True, False)


def test_allowance_with_a_limit_of_its_own_ends_without_being_short():
    allowance = Allowance(Budgets(), OPEN, 5)
    assert (allowance.length(3), allowance.student_calls) == (3, True)
    allowance.settle(delivered=3)
    assert (allowance.length(3), allowance.student_calls) == (2, True)
    allowance.settle(delivered=2)
    assert (allowance.student_calls, allowance.short) == (False, False)


def test_allowance_that_is_closed_takes_no_more(ben):
    budgets, key = ben
    allowance = Allowance(budgets, key)
    allowance.length(8)
    allowance.close(delivered=2)
    assert (allowance.length(4), budgets.spent()) == (0, {"ben": 2})


@pytest.fixture
def eve():
    """Budgets, a key with half a unit of money a day, and prices: a tenth for each teacher token."""
    return Budgets(), Key("eve", "s", None, 0.5), Prices(teacher=100_000, student=10_000)


def test_budget_of_money_grants_what_it_can_pay(eve):
    budgets, key, prices = eve
    allowance = Allowance(budgets, key, prices=prices)
    assert (allowance.length(3), allowance.short) == (3, False)
    allowance.settle(delivered=2)
    assert budgets.money() == {"eve": pytest.approx(0.2)}
    assert (allowance.length(9), allowance.short) == (3, True)


def test_budget_of_money_pays_for_the_student_too(eve):
    budgets, key, prices = eve
    allowance = Allowance(budgets, key, prices=prices)
    allowance.length(2)
    allowance.settle(delivered=2)
    allowance.book(Ledger(student_tokens=25, teacher_tokens=2))
    assert budgets.money() == {"eve": pytest.approx(0.45)}
    assert Allowance(budgets, key, prices=prices).length(1) == 0


def test_budget_of_tokens_and_money_ends_with_the_first_of_them():
    budgets, key = Budgets(), Key("eve", "s", 4, 0.5)
    assert budgets.reserve(key, 9, 0.1).tokens == 4
    assert not budgets.has(key)
