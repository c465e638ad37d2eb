"""Money: what answers cost at given prices, beside the teacher alone, the student alone and a random router."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from relayllm.evaluation.analysis.comparisons import STUDENT, TEACHER, difference, interval, number
from relayllm.evaluation.analysis.scores import Scores, averages, with_teacher_as_author
from relayllm.evaluation.analysis.statistics import Estimate, matched_share, reduction, router_accuracy
from relayllm.evaluation.records import PRICED, SECONDS
from relayllm.relay.prices import CALL_TOKENS, Prices
from relayllm.relay.trace import Ledger

NOTHING = Estimate(0.0, np.zeros(1))
ANSWERS = 1000
"""Prices are told for so many answers."""
COST = "cost"
"""The column of a frame that holds what each answer cost."""


def with_costs(frame: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Add what each answer cost; as it is where nothing has a price, or where the records do not hold what is read."""
    free = [name for name in SECONDS if not getattr(prices, name.removesuffix("s"))]
    frame = frame.fillna(dict.fromkeys(free, 0.0))
    if not prices.known or frame[[*PRICED]].isna().any(axis=None):
        return frame
    return frame.assign(**{COST: sum(_parts(frame, prices).values())})


def money(frame: pd.DataFrame, scores: Scores, prices: Prices, relay: str) -> dict[str, Any] | None:
    """What every method costs on average over benchmarks, as it stands in the summary; None without prices.

    `read_share` is the part of the price of calls that reading takes: what stands before a call, fresh or from the
    teacher's cache.
    """
    if COST not in frame:
        return None
    found = averages(scores, scores) or {}
    costs = {name: score.cost for name, score in found.items() if score.cost is not None}
    shares = _read_shares(frame, prices)
    teacher = costs.get(TEACHER)
    return {
        "prices": prices.as_dict(), "answers": ANSWERS,
        "methods": {name: {"cost": number(ANSWERS * cost.value), "cost_ci": interval(ANSWERS * cost),
                           "of_teacher": _ratio(cost, teacher), "read_share": shares.get(name)}
                    for name, cost in costs.items()},
        "random_router": _random_router(scores, relay),
    }


def _parts(frame: pd.DataFrame, prices: Prices) -> dict[str, Any]:
    """The cost of each answer by what it was paid for: a ledger of columns gives columns."""
    rows = with_teacher_as_author(frame)
    columns: dict[str, Any] = {name: rows[name] for name in (
        "student_tokens", "command_tokens", "teacher_tokens", "student_prefilled", "teacher_prefilled",
        "teacher_cached", "student_seconds", "teacher_seconds")}
    return prices.parts(Ledger(**columns))


def _read_shares(frame: pd.DataFrame, prices: Prices) -> dict[str, float | None]:
    parts = pd.DataFrame(_parts(frame, prices)).groupby(frame["method"], sort=False).sum()
    calls = parts[[*CALL_TOKENS]].sum(axis=1)
    read = parts[["teacher_read", "teacher_cached"]].sum(axis=1)
    return {str(name): number(read[name] / calls[name]) if calls[name] > 0 else None for name in parts.index}


def _ratio(cost: Estimate, teacher: Estimate | None) -> float | None:
    return None if teacher is None or not teacher.value else number(cost.value / teacher.value)


def _random_router(scores: Scores, relay: str) -> dict[str, Any] | None:
    """The router that sends a random share of questions, at the relay's price and at its accuracy."""
    found = averages(scores, (relay, STUDENT, TEACHER))
    if not found:
        return None
    paid, low, high = (found[name].cost or NOTHING for name in (relay, STUDENT, TEACHER))
    ours, student, teacher = (found[name].accuracy for name in (relay, STUDENT, TEACHER))
    share = (paid - low) / (high - low)
    router = router_accuracy(student, teacher, share)
    needed = low + (high - low) * matched_share(ours, student, teacher)
    saved = reduction(paid, needed)
    return {"at_equal_cost": {"share": number(share.value), "accuracy": number(router.value),
                              "accuracy_ci": interval(router), **difference(ours - router)},
            "at_equal_accuracy": {"cost": number(ANSWERS * needed.value), "reduction": number(saved.value),
                                  "reduction_ci": interval(saved)}}
