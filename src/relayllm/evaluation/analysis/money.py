"""Money: what answers cost at given prices, beside the teacher alone, the student alone and a random router."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from relayllm.evaluation.analysis.comparisons import STUDENT, TEACHER, difference, interval, number
from relayllm.evaluation.analysis.scores import Scores, averages, read_by_student, with_teacher_as_author
from relayllm.evaluation.analysis.statistics import Estimate, matched_share, reduction, router_accuracy
from relayllm.evaluation.records import CALL_COLUMNS, CALL_SECONDS, PRICED, SECONDS
from relayllm.relay.prices import CALL_FIELDS, CALL_TOKENS, Prices
from relayllm.relay.trace import Call, Ledger

NOTHING = Estimate(0.0, np.zeros(1))
ANSWERS = 1000
"""Prices are told for so many answers."""
COST = "cost"
"""The column of a frame that holds what each answer cost."""
LEDGER = ("student_tokens", "command_tokens", "teacher_tokens", "student_prefilled", "student_cached",
          "teacher_prefilled", "teacher_cached", *SECONDS)
"""The columns of a ledger that prices count."""


@dataclass(frozen=True, slots=True)
class Paid:
    """What the answers of a report are counted at."""

    prices: Prices = field(default_factory=Prices)
    """Of a pool's teachers, too, where some have prices of their own."""
    alone: str = ""
    """Which of the pool's teachers gave the whole answers; empty: one that has no prices of its own."""

    def as_dict(self) -> dict[str, Any]:
        """The form that stands in the summary: `teachers` only where some have prices of their own."""
        own = {name: {price: getattr(one, price) for price in CALL_FIELDS}
               for name, one in self.prices.teachers.items()}
        return {"prices": self.prices.as_dict(), **({"teachers": own} if own else {})}


def with_costs(frame: pd.DataFrame, paid: Paid) -> pd.DataFrame:
    """Add what each answer cost; as it is where nothing has a price, or where the records do not hold what is read."""
    prices, own = paid.prices, [*paid.prices.teachers.values()]
    free = [name for name in SECONDS if not any(getattr(one, name.removesuffix("s")) for one in (prices, *own))]
    frame = frame.fillna(dict.fromkeys(free, 0.0))
    needed = [*PRICED, *(name for name in CALL_COLUMNS if own and not (name == CALL_SECONDS and SECONDS[1] in free))]
    if not prices.known or frame[needed].isna().any(axis=None):
        return frame
    return frame.assign(**{COST: _parts(frame, paid).sum(axis=1)})


def money(frame: pd.DataFrame, scores: Scores, paid: Paid, relay: str) -> dict[str, Any] | None:
    """What every method costs on average over benchmarks, as it stands in the summary; None without prices.

    `read_share` is the part of the price of calls that reading takes: what stands before a call, fresh or from the
    teacher's cache.
    """
    if COST not in frame:
        return None
    found = averages(scores, scores) or {}
    costs = {name: score.cost for name, score in found.items() if score.cost is not None}
    shares = _read_shares(frame, paid)
    teacher = costs.get(TEACHER)
    return {
        **paid.as_dict(), "answers": ANSWERS,
        "methods": {name: {"cost": number(ANSWERS * cost.value), "cost_ci": interval(ANSWERS * cost),
                           "of_teacher": _ratio(cost, teacher), "read_share": shares.get(name)}
                    for name, cost in costs.items()},
        "random_router": _random_router(scores, relay),
    }


def _parts(frame: pd.DataFrame, paid: Paid) -> pd.DataFrame:
    """The cost of each answer by what it was paid for."""
    rows, prices = with_teacher_as_author(frame), paid.prices
    rows = rows.assign(student_prefilled=read_by_student(rows))
    if not prices.teachers:  # a ledger of columns gives columns
        columns: dict[str, Any] = {name: rows[name] for name in LEDGER}
        return pd.DataFrame(prices.parts(Ledger(**columns)))
    ledgers = [Ledger(**dict(zip(LEDGER, row, strict=True)))
               for row in rows[[*LEDGER]].itertuples(index=False, name=None)]
    calls = rows[[*CALL_COLUMNS]].itertuples(index=False)
    return pd.DataFrame([prices.parts(ledger, _calls(*of_one) or [_whole(ledger, paid.alone)])
                         for ledger, of_one in zip(ledgers, calls, strict=True)], index=frame.index)


def _calls(teachers: Sequence[str], *counts: Any) -> list[Call]:
    """The calls of one answer, with what they are counted in."""
    tokens, read, cached, seconds = (np.broadcast_to(np.nan_to_num(one), len(teachers)) for one in counts)
    return [Call(position=0, requested=0, granted=0, delivered=tokens[place], seconds=seconds[place], teacher=name,
                 read=read[place], cached=cached[place]) for place, name in enumerate(teachers)]


def _whole(ledger: Ledger, teacher: str) -> Call:
    """An answer without calls as one of a teacher: what it wrote, it wrote alone."""
    return Call(position=0, requested=0, granted=0, delivered=ledger.teacher_tokens, seconds=ledger.teacher_seconds,
                teacher=teacher, read=ledger.teacher_prefilled, cached=ledger.teacher_cached)


def _read_shares(frame: pd.DataFrame, paid: Paid) -> dict[str, float | None]:
    parts = _parts(frame, paid).groupby(frame["method"], sort=False).sum()
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
