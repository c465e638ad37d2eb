"""Random-query router: sends a random share of the questions to the teacher."""

from __future__ import annotations

from collections.abc import Sequence

from relayllm.evaluation.records import Record
from relayllm.evaluation.routers.router import Asker
from relayllm.problems.problem import Problem


class RandomQueryRouter:
    """Every question scores alike: who is sent is drawn."""

    asks_first = False

    def calibrate(self, asker: Asker, problems: Sequence[Problem]) -> Sequence[float]:
        """Nothing to learn; every training problem scores alike."""
        return [0.0] * len(problems)

    def score(self, asker: Asker, problems: Sequence[Problem]) -> Sequence[float]:
        """The same score for every question."""
        return [0.0] * len(problems)

    def kept(self, asker: Asker, problems: Sequence[Problem], base: Sequence[Record]) -> Sequence[Record]:
        """The base student's answers, unchanged."""
        return base
