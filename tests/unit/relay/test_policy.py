"""Who decides to call: each rule by what it is given to look at."""

from dataclasses import dataclass, field

import pytest

from relayllm.relay.policy import STUDENT, EntropyThreshold, FixedLength, RandomPosition, Scripted
from relayllm.relay.trace import Call


@dataclass
class State:
    """All that a policy may see of a row."""

    key: int = 3
    index: int = 0
    position: int = 0
    calls: list[Call] = field(default_factory=list)


def test_student_policy_decides_nothing_and_serves_what_is_asked():
    assert (STUDENT.decide(State(), 9.0), STUDENT.length(12), STUDENT.student_calls) == (0, 12, True)


def test_fixed_length_serves_every_call_alike():
    assert [FixedLength(n=20).length(n) for n in (1, 99)] == [20, 20]


@pytest.mark.parametrize(("entropy", "n"), [(0.9, 0), (1.0, 0), (1.1, 3)])
def test_entropy_threshold_calls_above_it(entropy, n):
    assert EntropyThreshold(threshold=1.0, n=3).decide(State(), entropy) == n


def test_random_position_calls_as_often_as_it_says_whatever_was_asked_before():
    policy = RandomPosition(probability=0.2, n=3)
    places = [place for place in range(3000) if policy.decide(State(position=place), 0.0)]
    assert 500 < len(places) < 700
    assert [policy.decide(State(position=place), 0.0) for place in places[::-1]] == [3] * len(places)
    assert places != [place for place in range(3000) if policy.decide(State(key=4, position=place), 0.0)]


def test_scripted_calls_come_in_order_once_their_position_is_reached():
    policy = Scripted(script={0: [(2, 5), (2, 1)]})
    done = Call(2, 5, 5, 5)
    assert policy.decide(State(position=1), 0.0) == 0
    assert policy.decide(State(position=3), 0.0) == 5
    assert policy.decide(State(position=9, calls=[done]), 0.0) == 1
    assert policy.decide(State(position=9, calls=[done, done]), 0.0) == 0
    assert policy.decide(State(index=1, position=9), 0.0) == 0
