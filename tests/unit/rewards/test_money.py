"""The reward in money, worked out by hand."""

from __future__ import annotations

import pytest

from relayllm.rewards import REWARDS, Outcome

ALONE, HELPED = Outcome(True, False, 0.0, 2e-6), Outcome(True, True, 0.4, 5e-5)


def test_money_is_being_right_less_the_price():
    wrong = Outcome(False, True, 0.1, 1e-5)
    assert REWARDS["money"]([ALONE, HELPED, wrong], weight=2.0) == pytest.approx([0.996, 0.9, -0.02])


def test_money_without_a_weight_is_plain_accuracy():
    group = [ALONE, HELPED, Outcome(False, False, 0.0, 1.0)]
    assert REWARDS["money"](group, weight=0.0) == REWARDS["accuracy"](group, independence_bonus=0.0, exploration=False)


def test_money_prefers_the_cheaper_of_two_right_answers_whatever_the_group():
    for group in ([ALONE, HELPED], [HELPED, ALONE, Outcome(False, False, 0.0)]):
        rewards = REWARDS["money"](group, weight=1.0)
        assert rewards[group.index(ALONE)] > rewards[group.index(HELPED)]
