"""API keys and their budgets."""

from __future__ import annotations

import pytest

from relayllm.errors import ConfigError
from relayllm.serving.auth import OPEN, Allowance, Keys
from relayllm.serving.errors import ApiError


def keys(text, **more):
    return Keys.from_environment({"RELAY_API_KEYS": text}, **more)


def test_without_keys_everybody_is_welcome():
    assert keys("").who(None) is OPEN
    assert not keys("").required


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Bearer s\udcff", "secret2"])
def test_wrong_key_is_401(header):
    with pytest.raises(ApiError) as error:
        keys("ann:secret").who(header)
    assert error.value.status == 401


def test_right_key_names_who_asks():
    assert keys("ann:secret, ben:other:9").who("Bearer other").name == "ben"


@pytest.mark.parametrize("text", ["ann", "ann:", ":x", "ann:x:y", "ann:x:-1", "a:b:1:2", "ann:x,ann:y"])
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
    known = Keys(keys("ben:s:10")._keys, clock=lambda: now[0])
    return known, known.who("Bearer s")


def test_budget_is_taken_given_back_and_renewed_every_day(ben, now):
    known, key = ben
    assert [known.take(key, 6).tokens for _ in range(3)] == [6, 4, 0]
    assert not known.has(key)
    known.give_back(key, 3, day=0)
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
    assert not allowance.student_calls
    assert allowance.short


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
