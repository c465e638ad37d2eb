"""How the relay compares: with other methods problem by problem, and with routers at equal cost."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from relayllm.evaluation.analysis.scores import Score, Scores, average, averages
from relayllm.evaluation.analysis.statistics import (
    Estimate,
    along,
    gap_recovered,
    matched_share,
    reduction,
    router_accuracy,
    router_share,
)

STUDENT, TEACHER = "base", "teacher"
DIGITS = 6
"""Kept in JSON: enough for any use, and the same on every machine."""


def number(value: float | None) -> float | None:
    """A number as it stands in the summary; None when there is none."""
    return None if value is None or not math.isfinite(value) else round(float(value), DIGITS)


def interval(estimate: Estimate) -> list[float | None] | None:
    """[low, high] as it stands in the summary."""
    return None if estimate.ci is None else [number(bound) for bound in estimate.ci]


def gap(scores: Scores, relay: str) -> dict[str, Any]:
    """The share of the gap from base student to teacher that the relay recovers; no value when a method is missing."""
    found = averages(scores, (relay, STUDENT, TEACHER))
    names = {"method": relay, "student": STUDENT, "teacher": TEACHER}
    if not found:
        return {"value": None, "ci": None, **names}
    share = gap_recovered(found[relay].accuracy, found[STUDENT].accuracy, found[TEACHER].accuracy)
    return {"value": number(share.value) if share.ci else None, "ci": interval(share), **names}


def compare(scores: Scores, relay: str) -> dict[str, Any]:
    """All comparisons of one relay method, as they stand in the summary. Differences are relay minus other."""
    if relay not in scores:
        return {}
    others = [name for name in scores if name != relay]
    found: dict[str, Any] = {"method": relay, "against": {}}
    for name in others:
        pair = averages(scores, (relay, name))
        if pair:
            found["against"][name] = difference(pair[relay].accuracy - pair[name].accuracy)
    for student in (STUDENT, "grpo"):
        trio = averages(scores, (relay, student, TEACHER))
        if trio:
            key = "random_query" if student == STUDENT else f"random_query_{student}"
            found[key] = _random_query(trio[relay], trio[student], trio[TEACHER], student)
    if position := _random_position(scores, relay):
        found["random_position"] = position
    return found


def difference(estimate: Estimate) -> dict[str, Any]:
    """A difference with its interval and what may be said of it."""
    return {"difference": number(estimate.value), "ci": interval(estimate), "verdict": _verdict(estimate)}


def _verdict(estimate: Estimate) -> str:
    if estimate.ci is None:
        return "unknown"
    low, high = estimate.ci
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def _random_query(relay: Score, student: Score, teacher: Score, name: str) -> dict[str, Any]:
    """The exact random-query router between two endpoints: linear in the share of queries it sends."""
    ends = (student.accuracy, teacher.accuracy)
    share = matched_share(relay.accuracy, *ends)
    saved = reduction(relay.call_ratio, share)
    return {
        "student": name,
        "at_equal_call_ratio": _at(relay, router_accuracy(*ends, relay.call_ratio), relay.call_ratio),
        "at_equal_teacher_tokens": _at(relay, router_accuracy(*ends, router_share(
            relay.teacher_tokens, teacher.completion_tokens)), router_share(
            relay.teacher_tokens, teacher.completion_tokens)),
        "performance_matched": {"share": number(share.value), "share_ci": interval(share),
                                "reduction": number(saved.value), "reduction_ci": interval(saved)},
    }


def _random_position(scores: Scores, relay: str) -> dict[str, Any] | None:
    """The random-position router at the relay's call ratio, read off the line through its records and the endpoints."""
    measured = [name for name in scores if name.startswith("random-position")]
    found = averages(scores, (relay, STUDENT, TEACHER, *measured)) if measured else None
    if not found:
        return None
    points = [(found[name].call_ratio, found[name].accuracy) for name in (STUDENT, *measured, TEACHER)]
    at = found[relay].call_ratio
    return {"student": STUDENT, "at_equal_call_ratio": _at(found[relay], along(points, at), at)}


def _at(relay: Score, router: Estimate, share: Estimate) -> dict[str, Any]:
    return {"share": number(share.value), "accuracy": number(router.value), "accuracy_ci": interval(router),
            **difference(relay.accuracy - router)}


def cell(score: Score) -> dict[str, Any]:
    """One score as it stands in the summary."""
    shown = {
        "accuracy": number(score.accuracy.value), "accuracy_ci": interval(score.accuracy),
        "call_ratio": number(score.call_ratio.value), "call_ratio_ci": interval(score.call_ratio),
        "problems": score.problems, "samples": score.samples,
        "completion_tokens": number(score.completion_tokens.value),
        "teacher_tokens": number(score.teacher_tokens.value), "calls_per_answer": number(score.calls.value),
    }
    if score.judged is not None:
        shown |= {"accuracy_judged": number(score.judged.value), "accuracy_judged_ci": interval(score.judged)}
    return shown


def agreement(rows: pd.DataFrame) -> dict[str, int]:
    """How often rule and judge agree on a method's answers, as counts of the four cases and of unclear verdicts."""
    clear = rows[rows["judged"].notna()]
    rule, judge = clear["correct"].astype(bool), clear["judged"].astype(bool)
    return {"both_right": int((rule & judge).sum()), "rule_only": int((rule & ~judge).sum()),
            "judge_only": int((~rule & judge).sum()), "both_wrong": int((~rule & ~judge).sum()),
            "unclear": len(rows) - len(clear)}


def table(scores: Scores) -> dict[str, Any]:
    """methods x benchmarks, as they stand in the summary."""
    return {name: {"average": cell(average(list(row.values()))),
                   "benchmarks": {key: cell(one) for key, one in row.items()}} for name, row in scores.items()}
