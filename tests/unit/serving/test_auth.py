"""API keys and their budgets."""

from __future__ import annotations

import pytest

from relayllm.errors import ConfigError
from relayllm.relay.prices import Prices
from relayllm.relay.trace import Ledger
from relayllm.serving.auth import OPEN, Allowance, Keys, Taken
from relayllm.serving.errors import ApiError


def keys(text, **more):
    return Keys.from_environment({"RELAY_API_KEYS": text}, **more)


def test_without_keys_everybody_is_welcome():
    assert keys("").who(None) is OPEN
    assert not keys("").required


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Bearer s\udcff", "secret2", "secret",
                                    "Basic secret", "Bearersecret"])
def test_wrong_key_is_401(header):
    with pytest.raises(ApiError) as error:
        keys("ann:secret").who(header)
    assert error.value.status == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_right_key_names_who_asks_whatever_the_case_of_the_scheme(scheme):
    assert keys("ann:secret").who(f"{scheme} secret").name == "ann"


def test_right_key_of_several_names_who_asks():
    assert keys("ann:secret, ben:other:9").who("Bearer other").name == "ben"


@pytest.mark.parametrize("text", ["ann", "ann:", ":x", "ann:x:y", "ann:x:-1", "a:b:1:2:3",
                                  "a:b:1:x", "a:b::-1", "a:b::nan", "a:b:1:", "a:b::", "ann:x,ann:y"])
def test_malformed_entry_is_refused_without_showing_the_secret(text):
    with pytest.raises(ConfigError, match="RELAY_API_KEYS"):
        keys(text)


@pytest.fixture
def now():
    """The clock of `ben`, in seconds."""
    return [0.0]


@pytest.fixture
def ben(now):
    """Keys with a budget of ten tokens a day, and the key."""
    known = keys("ben:s:10", clock=lambda: now[0])
    return known, known.who("Bearer s")


def test_budget_is_taken_given_back_and_renewed_every_day(ben, now):
    known, key = ben
    assert [known.take(key, 6).tokens for _ in range(3)] == [6, 4, 0]
    assert not known.has(key)
    known.give_back(key, 3, Taken(3, day=0))
    assert known.take(key, 6).tokens == 3
    now[0] = 86400.0
    assert known.has(key)
    assert known.take(key, 6).tokens == 6
    assert known.spent() == {"ben": 6}


def test_tokens_of_yesterday_are_no_gain_of_today(ben, now):
    known, key = ben
    late, early = Allowance(known, key), Allowance(known, key)
    late.length(8)
    now[0] = 86400.0
    early.length(5)
    late.settle(delivered=1)
    assert known.spent() == {"ben": 5}


def test_allowance_takes_call_by_call_and_gives_back_what_a_call_did_not_use(ben):
    known, key = ben
    allowance = Allowance(known, key)
    assert (allowance.length(8), known.spent()) == (8, {"ben": 8})
    allowance.settle(delivered=3)
    assert (allowance.student_calls, allowance.short, known.spent()) == (True, False, {"ben": 3})


def test_allowance_that_meets_the_end_of_the_budget_is_short(ben):
    allowance, other = Allowance(*ben), Allowance(*ben)
    assert (allowance.length(7), other.length(7)) == (7, 3)
    assert (allowance.short, other.short) == (False, True)
    assert allowance.student_calls  # it has asked for nothing that it did not get
    assert (allowance.length(2), allowance.short, allowance.student_calls) == (0, True, False)


def test_allowance_with_a_limit_of_its_own_ends_without_being_short():
    allowance = Allowance(keys(""), OPEN, 5)
    assert (allowance.length(3), allowance.student_calls) == (3, True)
    allowance.settle(delivered=3)
    assert (allowance.length(3), allowance.student_calls) == (2, True)
    allowance.settle(delivered=2)
    assert (allowance.student_calls, allowance.short) == (False, False)


def test_allowance_that_is_closed_takes_no_more(ben):
    known, key = ben
    allowance = Allowance(known, key)
    allowance.length(8)
    allowance.close(delivered=2)
    assert (allowance.length(4), known.spent()) == (0, {"ben": 2})


@pytest.fixture
def eve():
    """Keys with half a unit of money a day and teacher tokens at a tenth each, the key, and the prices."""
    known = keys("eve:s::0.5")
    return known, known.who("Bearer s"), Prices(teacher=100_000, student=10_000)


def test_budget_of_money_grants_what_it_can_pay(eve):
    known, key, prices = eve
    allowance = Allowance(known, key, prices=prices)
    assert (allowance.length(3), allowance.short) == (3, False)
    allowance.settle(delivered=2)
    assert known.money() == {"eve": pytest.approx(0.2)}
    assert (allowance.length(9), allowance.short) == (3, True)


def test_budget_of_money_pays_for_the_student_too(eve):
    known, key, prices = eve
    allowance = Allowance(known, key, prices=prices)
    allowance.length(2)
    allowance.settle(delivered=2)
    allowance.book(Ledger(student_tokens=25, teacher_tokens=2))
    assert known.money() == {"eve": pytest.approx(0.45)}
    assert Allowance(known, key, prices=prices).length(1) == 0


def test_budget_of_tokens_and_money_ends_with_the_first_of_them():
    known = keys("eve:s:4:0.5")
    key, prices = known.who("Bearer s"), Prices(teacher=100_000)
    assert known.take(key, 9, prices.teacher / 1e6).tokens == 4
    assert not known.has(key)
