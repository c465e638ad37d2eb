"""Every row of the evaluation: who answers, and by which policy."""

from __future__ import annotations

import pytest

from relayllm.config import method_names
from relayllm.config.method_names import is_trained
from relayllm.errors import ConfigError
from relayllm.evaluation.cost import Cost
from relayllm.evaluation.methods import QUERY_ROUTERS, TOKEN_ROUTERS, method, position_probability
from relayllm.evaluation.routers.cascade import CascadeRouter
from relayllm.evaluation.routers.entropy import EntropyRouter
from relayllm.evaluation.routers.glimp import GlimpRouter
from relayllm.evaluation.routers.query_router import LearnedQueryRouter
from relayllm.evaluation.routers.random_query import RandomQueryRouter
from relayllm.relay.policy import FixedLength, RandomPosition

RUNS = ["relay-difficulty", "relay-simple", "grpo"]
COST = Cost(call_ratio=0.05, mean_n=3)


def named(name: str):
    return method(name, RUNS, "relay-difficulty")


@pytest.mark.parametrize(("name", "student", "helped"), [
    ("base", "base", False), ("teacher", "teacher", False), ("warmup", "warmup", True),
    ("grpo", "grpo", False), ("relay-simple", "relay-simple", True), ("relay-difficulty", "relay-difficulty", True),
    ("teacher-free", "relay-difficulty", True), ("fixed-20", "relay-difficulty", True),
    ("entropy", "base", True), ("random-position", "base", True), ("random-query", "base", True)])
def test_method_says_who_answers_and_who_may_be_asked(name, student, helped):
    assert (named(name).name, named(name).student, named(name).helped) == (name, student, helped)


def test_teacher_free_switches_the_teacher_off():
    assert named("teacher-free").options == {"teacher_enabled": False}


@pytest.mark.parametrize(("name", "multiple"),
                         [("call-ratio-0.5x", 0.5), ("call-ratio-2x", 2.0), ("call-ratio-0x", 0.0)])
def test_call_ratio_method_is_the_relay_at_a_multiple_of_its_own_calls(name, multiple):
    assert named(name).call_ratio_factor == multiple
    assert named(name).student == "relay-difficulty"


def test_other_teacher_is_the_relay_with_a_teacher_it_was_not_trained_with():
    found = method("other-teacher-qwen3-4b", RUNS, "relay-difficulty", ["qwen3-4b"])
    assert (found.student, found.teacher, found.helped) == ("relay-difficulty", "qwen3-4b", True)
    assert named("relay-difficulty").teacher is None


@pytest.mark.parametrize("name", ["other-teacher-nobody", "other-teacher-", "qwen3-4b"])
def test_other_teacher_that_is_not_there_raises_with_those_there_are(name):
    with pytest.raises(ConfigError, match=r"other_teachers \(qwen3-4b\)"):
        method(name, RUNS, "relay-difficulty", ["qwen3-4b"])


def test_fixed_length_serves_the_same_n():
    assert named("fixed-500").policy(COST) == FixedLength(n=500)


@pytest.mark.parametrize(("name", "router"), [("entropy", EntropyRouter), ("glimp", GlimpRouter)])
def test_token_routers_run_over_the_untrained_student(name, router):
    assert isinstance(named(name).token_router, router)
    assert named(name).follows_the_relay


@pytest.mark.parametrize(("name", "router"), [("random-query", RandomQueryRouter), ("cascade", CascadeRouter),
                                              ("query-router", LearnedQueryRouter)])
def test_query_routers_are_drawn_from_records(name, router):
    assert isinstance(named(name).query_router, router)


@pytest.mark.parametrize(("name", "budget"), [("entropy", 1.0), ("entropy-2x", 2.0), ("cascade-0.5x", 0.5),
                                              ("query-router-2x", 2.0), ("random-position-3x", 3.0)])
def test_rivals_spend_a_multiple_of_the_relays_calls(name, budget):
    assert (named(name).name, named(name).budget) == (name, budget)
    assert not is_trained(name)


def test_names_that_params_are_checked_against_are_those_of_the_methods():
    assert (tuple(TOKEN_ROUTERS), tuple(QUERY_ROUTERS)) == (method_names.TOKEN_ROUTERS, method_names.QUERY_ROUTERS)
    for name in (*method_names.PLAIN, *method_names.RIVALS, "fixed-8", "call-ratio-2x", "glimp-0.5x", RUNS[0]):
        assert method_names.is_method(name, RUNS, [])
        assert method_names.follows_the_relay(name) == named(name).follows_the_relay
        assert method_names.is_drawn_from_records(name) == (named(name).query_router is not None)


def test_random_position_is_given_the_relays_n():
    rule = named("random-position").policy(COST)
    assert isinstance(rule, RandomPosition)
    assert rule.n == 3


@pytest.mark.parametrize(("ratio", "n"), [(0.01, 1), (0.05, 3), (0.3, 20), (0.5, 9)])
def test_position_probability_spends_the_relays_share(ratio, n):
    """With probability p per student token, p n of 1 + p n tokens are the teacher's."""
    p = position_probability(Cost(ratio, n))
    assert p * n / (1 + p * n) == pytest.approx(ratio)


def test_position_probability_of_nothing_but_teacher_is_a_probability():
    assert position_probability(Cost(1.0, 1)) == 1.0
    assert position_probability(Cost(0.0, 1)) == 0.0


@pytest.mark.parametrize("name", ["fixed-", "fixed-x", "call-ratio-2", "entropy-2", "glimp-x", "cascade-", "Base",
                                  "relay"])
def test_unknown_method_raises_with_what_there_is(name):
    with pytest.raises(ConfigError, match=r"teacher-free.*relay-simple"):
        named(name)


def test_relay_that_is_no_run_raises():
    with pytest.raises(ConfigError, match=r"'nobody'.*relay-difficulty"):
        method("base", RUNS, "nobody")
