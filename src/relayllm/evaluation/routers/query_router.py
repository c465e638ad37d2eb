"""Learned query router: a logistic regression on what the student makes of a question (RouteLLM's idea).

It learns on training problems whether the teacher is right where the student is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relayllm.evaluation.records import Record
from relayllm.evaluation.routers.regression import Fit, fit
from relayllm.evaluation.routers.router import Asker
from relayllm.grading import grade
from relayllm.problems.problem import Problem


class LearnedQueryRouter:
    """The score is the probability that the teacher turns the answer right."""

    asks_first = False

    def __init__(self) -> None:
        self._fit: Fit | None = None

    def calibrate(self, asker: Asker, problems: Sequence[Problem]) -> Sequence[float]:
        """Learn; the scores come from models that have not seen the question, and are alike without any to learn."""
        self._fit = fit(asker.states(problems), np.array(_gains(asker, problems)))
        return [0.0] * len(problems) if self._fit is None else [float(score) for score in self._fit.unseen]

    def score(self, asker: Asker, problems: Sequence[Problem]) -> Sequence[float]:
        """Probability that the teacher turns the answer right; the same for all where there was nothing to learn."""
        if self._fit is None:
            return [0.0] * len(problems)
        return [float(score) for score in self._fit.model.predict_proba(asker.states(problems))[:, 1]]

    def kept(self, asker: Asker, problems: Sequence[Problem], base: Sequence[Record]) -> Sequence[Record]:
        """The base student's answers, unchanged."""
        return base


def _gains(asker: Asker, problems: Sequence[Problem]) -> list[bool]:
    """Whether the teacher is right and the student is not."""
    right = {who: [grade(trace.text, problem).correct
                   for problem, trace in zip(problems, asker.answers(who, problems), strict=True)]
             for who in ("base", "teacher")}
    return [teacher and not student for student, teacher in zip(right["base"], right["teacher"], strict=True)]
