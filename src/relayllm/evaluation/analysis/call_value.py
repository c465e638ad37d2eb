"""What a call was worth: the same prefix continued with help and without.

A table of continuations has one row per continuation: `problem_id`, `place` (which prefix of that problem), `called`
(the policy called there by itself), `help` (this continuation was given the teacher's tokens) and `correct`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from relayllm.errors import DataError
from relayllm.evaluation.analysis.comparisons import difference, number
from relayllm.evaluation.analysis.statistics import Answers, Estimate, bootstrap

COLUMNS = ("problem_id", "place", "called", "help", "correct")
RIGHT = 0.5
"""A prefix leads to the right answer when at least this share of its continuations does."""


def call_value(continuations: pd.DataFrame, *, draws: int, seed: int) -> dict[str, Any]:
    """Help gain of the calls that were made, how many were needless, and how many were missed.

    Raises:
        DataError: a column is missing.
    """
    missing = [name for name in COLUMNS if name not in continuations]
    if missing:
        raise DataError(f"the table of continuations lacks {', '.join(missing)}: it needs {', '.join(COLUMNS)}")
    pairs = _pairs(continuations)
    called, silent = pairs[pairs["called"]], pairs[~pairs["called"]]
    return {
        "calls": len(called),
        "help_gain": _share(called, called["with"] - called["without"], draws, seed),
        "needless": _share(called, called["without"] >= RIGHT, draws, seed),
        "in_vain": _share(called, (called["without"] < RIGHT) & (called["with"] < RIGHT), draws, seed),
        "places_without_a_call": len(silent),
        "missed": _share(silent, (silent["without"] < RIGHT) & (silent["with"] >= RIGHT), draws, seed),
    }


def spent_per_needed(calls: pd.DataFrame, *, draws: int, seed: int) -> dict[str, Any] | None:
    """Teacher tokens that right answers spent / those that they needed, in all (`evaluation.needed_tokens`).

    1 is a policy that asks for no more than it needs; None where nothing was needed.
    """
    return _ratio(calls["problem_id"], calls["spent"], calls["needed"], draws, seed)


def _pairs(continuations: pd.DataFrame) -> pd.DataFrame:
    """One row per prefix that was continued both ways: the shares that came out right."""
    keys = ["problem_id", "place", "called"]
    shares = continuations.astype({"correct": float}).groupby([*keys, "help"])["correct"].mean().unstack("help")
    shares = shares.reindex(columns=[False, True]).rename(columns={False: "without", True: "with"})
    return shares.dropna().reset_index().astype({"called": bool})


def _share(pairs: pd.DataFrame, values: pd.Series, draws: int, seed: int) -> dict[str, Any] | None:
    """The mean over places, resampled by problem: places of one problem stay together."""
    return _ratio(pairs["problem_id"], values, pd.Series(1.0, pairs.index), draws, seed)


def _ratio(problem_ids: pd.Series, above: pd.Series, below: pd.Series, draws: int, seed: int) -> dict[str, Any] | None:
    if not below.sum():
        return None
    problems = sorted(problem_ids.unique())
    both = pd.DataFrame({"above": above.astype(float), "below": below.astype(float)})
    sums = both.groupby(problem_ids).sum().loc[problems].to_numpy(dtype=float)
    found = bootstrap({"call_value": Answers([str(one) for one in problems], sums[:, None, :])}, draws=draws, seed=seed,
                      benchmark="call_value")["call_value"]
    share: Estimate = found[0] / found[1]
    return {"value": number(share.value), "ci": difference(share)["ci"]} if np.isfinite(share.value) else None
