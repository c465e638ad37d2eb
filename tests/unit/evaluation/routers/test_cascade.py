"""Cascade: agreement among the student's own samples."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from relayllm.evaluation.routers.cascade import CascadeRouter, vote_of
from relayllm.problems.problem import Problem
from relayllm.relay.trace import Author, Ledger, StopReason, Trace
from tests.support.make_records import make_records

PROBLEM = Problem("pens-00000", "How many?", "4", "pens")


def said(answer, tokens=10):
    text = f"So it is \\boxed{{{answer}}}." if answer else "I do not know."
    return Trace((1,), (2,), (Author.STUDENT,), (0.0,), (), Ledger(student_tokens=tokens), StopReason.FINISHED, text)


class Samples:
    """An asker whose student says these."""

    def __init__(self, *answers):
        self._traces = [said(answer) for answer in answers]
        self.config = SimpleNamespace(samples=len(answers))

    def answers(self, who, problems, *, samples):
        assert (who, len(self._traces)) == ("base", samples * len(problems))
        return self._traces


@pytest.mark.parametrize(("answers", "agreement", "right"), [
    (["4", "4", "4"], 1.0, True), (["4", "7", "4"], 2 / 3, True), (["7", "7", "4"], 2 / 3, False),
    (["7", "4", "5"], 1 / 3, False), ([None, None, "4"], 1 / 3, False), ([None, "4", "4"], 2 / 3, True)])
def test_vote_is_the_commonest_answer_and_no_answer_agrees_with_none(answers, agreement, right):
    vote = vote_of(PROBLEM, [said(answer) for answer in answers])
    assert (vote.agreement, vote.grade.correct) == (pytest.approx(agreement), right)
    assert vote.student_tokens == 30


def test_cascade_scores_disagreement_and_keeps_the_majority_at_the_price_of_all():
    router, asker = CascadeRouter(), Samples("7", "4", "4")
    assert router.score(asker, [PROBLEM]) == [pytest.approx(1 / 3)]
    [base] = make_records("base", problems=1, benchmarks=("pens",))
    [kept] = router.kept(asker, [PROBLEM], [base])
    assert kept.correct
    assert (kept.student_tokens, kept.problem_id, kept.sample) == (30, base.problem_id, base.sample)
