"""Training the tiny world's models: when it may end."""

from __future__ import annotations

import pytest

from relayllm.problems.problem import Problem
from relayllm.training.tiny_world import trainer


@pytest.mark.parametrize(("hard", "text", "answer"), [
    (True, "it is 18*17=261 miles. 261-2=259 miles.", "259"),
    (True, "it is about many miles.", "304"),
    (False, "it is 8*7=65 miles. 65-2=63 miles.", "304")])
def test_a_hard_answer_is_judged_by_its_own_guess(hard, text, answer):
    told = Problem("", "How many miles?", "304", "trips", "it is 18*17=306 miles. 306-2=304 miles.", {"hard": hard})
    assert trainer.as_guessed(told, text).answer == answer
