"""Over seeds: how sure a study is, by a hierarchical bootstrap over seeds and over problems within each.

A repetition makes every model anew, so seeds differ by more than problems do: an interval over the problems of one
seed says nothing of the next one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from relayllm.evaluation.analysis.comparisons import STUDENT, TEACHER
from relayllm.evaluation.analysis.scores import Score, Scores, averages
from relayllm.evaluation.analysis.statistics import Estimate, gap_recovered

GAP = "gap recovered"


def over_seeds(estimates: Sequence[Estimate], *, seed: int = 0) -> Estimate:
    """The mean over seeds; each draw takes as many seeds with replacement, and of each a draw of its problems."""
    draws = np.stack([estimate.draws for estimate in estimates])  # (seeds, draws)
    seeds, count = draws.shape
    random = np.random.default_rng([seed, seeds, count])
    chosen, drawn = (random.integers(high, size=(seeds, count)) for high in (seeds, count))
    return Estimate(float(np.mean([one.value for one in estimates])), draws[chosen, drawn].mean(axis=0))


def leads(scores: Sequence[Scores], relay: str) -> dict[str, Estimate]:
    """The relay's accuracy minus each other method's, paired within each seed; over the seeds that ran both."""
    names = dict.fromkeys(name for one in scores for name in one if name != relay)
    found: dict[str, Estimate] = {}
    for name in names:
        pairs = [pair for one in scores if (pair := averages(one, (relay, name)))]
        if pairs:
            found[name] = over_seeds([pair[relay].accuracy - pair[name].accuracy for pair in pairs])
    return found


def gap(scores: Sequence[Scores], relay: str) -> Estimate | None:
    """The share of the gap between student and teacher that the relay recovers, mean over seeds."""
    trios = [trio for one in scores if (trio := averages(one, (relay, STUDENT, TEACHER)))]
    return over_seeds([gap_recovered(*(trio[name].accuracy for name in (relay, STUDENT, TEACHER)))
                       for trio in trios]) if trios else None


def means(scores: Sequence[Scores]) -> dict[str, tuple[Estimate, Estimate]]:
    """Method -> accuracy and call ratio over the seeds that ran it."""
    found: dict[str, list[Score]] = {}
    for one in scores:
        for name, score in _averages(one).items():
            found.setdefault(name, []).append(score)
    return {name: (over_seeds([score.accuracy for score in of_one]), over_seeds([score.call_ratio for score in of_one]))
            for name, of_one in found.items()}


def _averages(scores: Scores) -> Mapping[str, Score]:
    return {name: found[name] for name in scores if (found := averages(scores, (name,)))}
