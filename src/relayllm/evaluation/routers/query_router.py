"""Learned query router: a logistic regression on what the student makes of a question (RouteLLM's idea).

It learns on training problems whether the teacher is right where the student is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from relayllm.evaluation.records import Record
from relayllm.evaluation.routers.router import Asker
from relayllm.grading import grade
from relayllm.problems.problem import Problem

FOLDS = 5
FEWEST = 4
"""Examples of the rarer kind that a regression wants at least."""
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse regularisation, chosen by cross-validation."""


class LearnedQueryRouter:
    """The score is the probability that the teacher turns the answer right."""

    asks_first = False

    def __init__(self) -> None:
        self._model: Any = None

    def calibrate(self, asker: Asker, problems: Sequence[Problem]) -> Sequence[float]:
        """Learn; the scores come from models that have not seen the question."""
        from sklearn.model_selection import cross_val_predict

        states = asker.states(problems)
        gains = np.array(_gains(asker, problems))
        rarer = int(min(gains.sum(), (~gains).sum()))
        if rarer < FEWEST:  # nothing to learn from: every question is alike
            self._model = None
            return [0.0] * len(problems)
        folds = min(FOLDS, rarer // 2)
        self._model = _classifier(max(2, min(FOLDS, rarer - -(-rarer // folds))))
        scores = cross_val_predict(self._model, states, gains, cv=folds, method="predict_proba")[:, 1]
        self._model.fit(states, gains)
        return [float(score) for score in scores]

    def score(self, asker: Asker, problems: Sequence[Problem]) -> Sequence[float]:
        """By the model that was learned; the same for all where there was nothing to learn."""
        if self._model is None:
            return [0.0] * len(problems)
        return [float(score) for score in self._model.predict_proba(asker.states(problems))[:, 1]]

    def kept(self, asker: Asker, problems: Sequence[Problem], base: Sequence[Record]) -> Sequence[Record]:
        """As the base student wrote them."""
        return base


def _gains(asker: Asker, problems: Sequence[Problem]) -> list[bool]:
    """Whether the teacher is right and the student is not."""
    right = {who: [grade(trace.text, problem).correct
                   for problem, trace in zip(problems, asker.answers(who, problems), strict=True)]
             for who in ("base", "teacher")}
    return [teacher and not student for student, teacher in zip(right["base"], right["teacher"], strict=True)]


def _classifier(folds: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return GridSearchCV(pipeline, {"logisticregression__C": STRENGTHS}, scoring="neg_log_loss", cv=folds)
