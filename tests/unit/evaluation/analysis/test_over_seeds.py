"""Over seeds: intervals that know that seeds differ."""

from __future__ import annotations

import numpy as np
import pytest

from relayllm.evaluation.analysis.over_seeds import gap, leads, means, over_seeds
from relayllm.evaluation.analysis.scores import score
from relayllm.evaluation.analysis.statistics import Estimate
from tests.support.make_records import make_frame


def estimate(value, spread, draws=4000):
    return Estimate(value, value + spread * np.random.default_rng(1).normal(size=draws))


def test_one_seed_is_as_sure_as_its_problems():
    alone = estimate(0.5, 0.02)
    assert over_seeds([alone]).value == 0.5
    assert np.subtract(*over_seeds([alone]).ci[::-1]) == pytest.approx(np.subtract(*alone.ci[::-1]), rel=0.1)


def test_seeds_that_agree_are_surer_together_and_seeds_that_differ_are_not():
    agree = over_seeds([estimate(0.5, 0.02)] * 4)
    differ = over_seeds([estimate(value, 0.02) for value in (0.2, 0.8, 0.4, 0.6)])
    assert agree.value == pytest.approx(0.5)
    assert differ.value == pytest.approx(0.5)
    assert np.subtract(*agree.ci[::-1]) < 0.06
    spread = np.std([0.2, 0.8, 0.4, 0.6]) / 2  # the standard error of a mean of four, as a bootstrap sees it
    assert np.std(differ.draws) == pytest.approx(np.hypot(spread, 0.01), rel=0.1)


def test_methods_are_compared_within_the_seeds_that_ran_both():
    frames = [make_frame(("base", "relay-difficulty", "teacher"), problems=20, seed=1),
              make_frame(("base", "relay-difficulty", "teacher", "grpo"), problems=20, seed=2)]
    scores = [score(frame, draws=200, seed=0) for frame in frames]
    ahead = leads(scores, "relay-difficulty")
    assert set(ahead) == {"base", "teacher", "grpo"}
    assert ahead["base"].value > 0.2
    assert means(scores)["teacher"][1].value == 1.0
    assert 0.5 < gap(scores, "relay-difficulty").value < 1.1


def test_without_the_ends_there_is_no_gap():
    scores = [score(make_frame(("base", "relay-difficulty"), problems=5), draws=20, seed=0)]
    assert gap(scores, "relay-difficulty") is None
