"""Learned query router: what it learns on training problems, and what it says where there is nothing to learn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from relayllm.evaluation.routers.query_router import LearnedQueryRouter
from relayllm.problems.problem import Problem
from relayllm.relay.trace import Author, Ledger, StopReason, Trace


def problems(count):
    return [Problem(f"p{index}", f"question {index}", "4", "pens") for index in range(count)]


def said(answer):
    return Trace((1,), (2,), (Author.STUDENT,), (0.0,), (), Ledger(), StopReason.FINISHED, f"\\boxed{{{answer}}}")


class World:
    """The student fails on every third question, which its states show; the teacher fails never, or always."""

    config = SimpleNamespace()

    def __init__(self, teacher="4"):
        self._teacher = teacher

    def answers(self, who, problems, *, samples=1):
        return [said(self._teacher if who == "teacher" else "7" if self._hard(one) else "4") for one in problems]

    def states(self, problems):
        rng = np.random.default_rng(0)
        return np.array([[3.0 * self._hard(one), *rng.normal(size=5)] for one in problems], dtype=np.float32)

    def _hard(self, problem):
        return int(problem.id[1:]) % 3 == 0


def test_query_router_learns_where_the_teacher_helps():
    router, world = LearnedQueryRouter(), World()
    unseen = router.calibrate(world, problems(60))
    scores = router.score(world, [*problems(90)[60:]])
    hard = [index % 3 == 0 for index in range(60, 90)]
    assert min(score for score, is_hard in zip(scores, hard, strict=True) if is_hard) > max(
        score for score, is_hard in zip(scores, hard, strict=True) if not is_hard)
    assert np.mean(unseen[::3]) > np.mean(unseen[1::3])


def test_query_router_of_a_teacher_that_never_helps_is_a_random_one():
    router, world = LearnedQueryRouter(), World(teacher="9")
    assert set(router.calibrate(world, problems(30))) == {0.0}
    assert set(router.score(world, problems(5))) == {0.0}
