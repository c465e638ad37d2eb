"""Learned token router: a logistic regression on the student's hidden state decides at every token (CITER's idea).

It learns from outcomes on training problems: at places of the student's own answers, is the answer right with the
teacher's next n tokens, and wrong without? Two tokenizers are no matter, as only outcomes are compared.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from relayllm.config import RoutersConfig
from relayllm.evaluation.cost import Cost
from relayllm.evaluation.routers.regression import fit
from relayllm.evaluation.routers.router import Asker, TokenizerPair
from relayllm.grading import grade
from relayllm.problems.problem import Problem
from relayllm.relay.policy import ProbeThreshold
from relayllm.relay.trace import Prefix, Trace

PLACES = 4
"""Places of each answer that are tried."""


class LearnedTokenRouter:
    """The threshold is a probability that help turns the answer right."""

    def __init__(self) -> None:
        self._weights: tuple[float, ...] = ()

    def prepare(self, asker: Asker, problems: Sequence[Problem], cost: Cost) -> str:
        """Fit the regression on training problems; where they leave nothing to learn it says so, and never calls."""
        answers = asker.answers("base", problems)
        asked = [(problem, prefix, grade(trace.text, problem).correct)
                 for problem, trace in zip(problems, answers, strict=True) for prefix in _places(problem, trace)]
        places, prefixes = [problem for problem, _, _ in asked], [prefix for _, prefix, _ in asked]
        helped = asker.continued(places, prefixes, n=cost.mean_n)
        gains = np.array([grade(trace.text, problem).correct and not alone
                          for (problem, _, alone), trace in zip(asked, helped, strict=True)], dtype=bool)
        found = fit(asker.states_at(places, prefixes), gains)
        self._weights = () if found is None else found.weights()
        return "" if found else (f"nothing to learn from: help turned {int(gains.sum())} of {len(gains)} places of "
                                 "training answers right; give more of routers.problems")

    def options(self, threshold: float, cost: Cost, pair: TokenizerPair, config: RoutersConfig) -> Mapping[str, Any]:
        """Options of the decoder: a policy with this threshold, and the readout that it looks at."""
        if not self._weights:
            return {"max_calls": 0}
        return {"policy": ProbeThreshold(threshold=threshold, n=cost.mean_n), "probe": self._weights}

    def highest(self, pair: TokenizerPair) -> float:
        """A threshold above every probability: nothing calls."""
        return 1.0


def _places(problem: Problem, trace: Trace) -> list[Prefix]:
    """Some places of an answer, drawn by the problem's name; behind its first token, where there is a state to read."""
    among = range(1, len(trace.token_ids))
    drawn = random.Random(problem.id).sample(among, min(PLACES, len(among)))
    return [trace.prefix(place) for place in sorted(drawn)]
