"""Needed teacher tokens: the shortest call that keeps a right answer right, where nothing else is bought for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from relayllm.config import load_params
from relayllm.evaluation.needed_tokens import EXACT, lengths, needed_tokens
from relayllm.problems.problem import Problem
from relayllm.relay.trace import NO_PREFIX, Author, Call, Ledger, StopReason, Trace

CONFIG = load_params(Path("params/smoke.yaml")).evaluate.model_copy(update={"call_value_problems": 4})
PENS = [Problem("pens", "How many pens?", "12", "pens")]


@dataclass
class Writer:
    """Writes one student token, calls for `own`, and is right when the teacher gave at least `needed`.

    Behind a shorter call it makes another one of `more` tokens, as a policy may.
    """

    own: int
    needed: int
    more: int = 0

    def generate(self, prompts, *, prefixes=None, policy=None, teacher_enabled=True, **_):
        """As a cached writer does."""
        given = self.own if policy is None and teacher_enabled else policy.n if policy else 0
        more = self.more if prefixes and given else 0
        return [self._trace(given, more) for _, _ in zip(prompts, prefixes or [NO_PREFIX] * len(prompts), strict=True)]

    def _trace(self, given, more):
        calls = tuple(Call(1, n, n, n) for n in (given, more) if n)
        authors = (Author.STUDENT, *[Author.TEACHER] * (given + more))
        right = given >= self.needed or more
        return Trace((1,), tuple(range(len(authors))), authors, (None,) * len(authors), calls,
                     Ledger(student_tokens=1, teacher_tokens=given + more), StopReason.FINISHED,
                     "#### 12" if right else "#### 13")


@pytest.mark.parametrize(("own", "needed"), [(5, 3), (5, 5), (5, 0), (9, 1)])
def test_shortest_call_that_stays_right_is_found(own, needed):
    assert needed_tokens(Writer(own, needed), {"pens": PENS}, CONFIG) == [
        {"problem_id": "pens", "place": 1, "spent": own, "needed": needed}]


def test_answer_that_is_wrong_with_its_call_has_no_row():
    assert needed_tokens(Writer(own=5, needed=6), {"pens": PENS}, CONFIG) == []


@pytest.mark.parametrize("more", [1, 4, 9])
def test_shorter_call_that_buys_elsewhere_what_it_saves_is_not_enough(more):
    rows = needed_tokens(Writer(own=5, needed=5, more=more), {"pens": PENS}, CONFIG)
    assert rows[0]["needed"] == 5


@pytest.mark.parametrize(("longest", "tried"), [(0, []), (1, [0]), (4, [0, 1, 2, 3]), (17, list(range(17)))])
def test_every_shorter_length_is_tried_where_calls_are_short(longest, tried):
    assert lengths(longest) == tried


def test_long_calls_are_tried_in_steps_of_a_quarter():
    tried = lengths(400)
    assert all(after <= before * 1.25 for before, after in zip(tried[EXACT:], tried[EXACT + 1:], strict=False))
    assert len(tried) < 40
