"""Which answers the report shows: where help turned them right, and also where it did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from relayllm.evaluation.analysis.comparisons import STUDENT
from relayllm.evaluation.records import Segments, read_segments

HELPED, ALONE, IN_VAIN, NEEDLESS = ("help turned it right", "solved alone", "called, and still wrong",
                                    "called, where the base student needs no help")
TURNS = (HELPED, HELPED, ALONE, HELPED, IN_VAIN, HELPED, NEEDLESS, HELPED)
"""Kinds of examples, in the order in which they are given a place."""


@dataclass(frozen=True, slots=True)
class Example:
    """One answer of the relay."""

    kind: str
    benchmark: str
    question: str
    gold: str
    answer: str
    correct: bool
    segments: Segments
    call_ratio: float
    base_correct: bool | None
    """None when the base student was not asked."""


def choose(frame: pd.DataFrame, relay: str, count: int) -> list[Example]:
    """`count` answers of the relay, kinds in turn, each kind from all benchmarks in turn. The same records, the same
    examples."""
    rows = _first_samples(frame, relay)
    base = _first_samples(frame, STUDENT).set_index(["benchmark", "problem_id"])["correct"].to_dict()
    alone = [base.get(key) for key in zip(rows["benchmark"], rows["problem_id"], strict=True)]
    kinds = [_kind(*values) for values in zip(rows["correct"], rows["calls"], alone, strict=True)]
    rows = rows.assign(base=pd.Series(alone, index=rows.index, dtype=object), kind=kinds)
    rows = rows.assign(turn=rows.groupby(["kind", "benchmark"], sort=False).cumcount())
    queues = {str(kind): group.sort_values("turn", kind="stable").to_dict("records")
              for kind, group in rows.groupby("kind", sort=False)}
    chosen: list[Example] = []
    while len(chosen) < count and any(queues.get(kind) for kind in TURNS):
        for kind in TURNS:
            if queues.get(kind) and len(chosen) < count:
                chosen.append(_example(queues[kind].pop(0)))
    return sorted(chosen, key=lambda example: TURNS.index(example.kind))


def _first_samples(frame: pd.DataFrame, method: str) -> pd.DataFrame:
    rows = frame[frame["method"] == method]
    return rows.drop_duplicates(["benchmark", "problem_id"])


def _kind(correct: bool, calls: int, base: bool | None) -> str:
    if not calls:
        return ALONE if correct else "wrong, without a call"
    if not correct:
        return IN_VAIN
    return NEEDLESS if base else HELPED


def _example(row: Mapping[Any, Any]) -> Example:
    base = row["base"]
    return Example(str(row["kind"]), str(row["benchmark"]), str(row["question"]), str(row["gold"]),
                   "" if row["answer"] is None else str(row["answer"]), bool(row["correct"]),
                   read_segments(str(row["segments"])), float(row["call_ratio"]),
                   None if base is None else bool(base))
