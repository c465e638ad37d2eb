"""Routing: who answers a question, by its score and a threshold that spends a share of the questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from relayllm.evaluation.records import Record, by_the_teacher
from relayllm.relay.randomness import key_of, uniform

SALT = 0x40E7
"""Keeps what routing draws apart from what decoding draws."""


@dataclass(frozen=True, slots=True)
class RouteThreshold:
    """Questions above the score go to the teacher; of those that have just that score, a share drawn at random."""

    score: float
    share_at_score: float

    def sends(self, score: float, draw: float) -> bool:
        """Whether the teacher answers; `draw` is uniform in [0, 1)."""
        return score > self.score or (score == self.score and draw < self.share_at_score)


def route_threshold(scores: Sequence[float], share: float) -> RouteThreshold:
    """The threshold that sends this share of questions with these scores."""
    ordered = sorted(scores, reverse=True)
    wanted = share * len(ordered)
    at = ordered[min(len(ordered) - 1, int(wanted))]
    above, ties = sum(score > at for score in ordered), ordered.count(at)
    return RouteThreshold(at, min(1.0, max(0.0, (wanted - above) / ties)))


def routed(name: str, kept: Sequence[Record], teacher: Sequence[Record], scores: Sequence[float],
           threshold: RouteThreshold, seed: int, *, asks_first: bool) -> list[Record]:
    """The records of a query router: `kept` where the student answers, else the teacher's answer to the same question.

    `scores` has one entry per record of `kept`; `asks_first` says that what the student wrote is paid for either way.
    """
    theirs = {(record.benchmark, record.problem_id, record.sample): record for record in teacher}
    drawn: list[Record] = []
    for index, (record, score) in enumerate(zip(kept, scores, strict=True)):
        if threshold.sends(score, uniform(key_of(seed, SALT), index)):
            sent = by_the_teacher(theirs[record.benchmark, record.problem_id, record.sample])
            drawn.append(replace(sent, method=name, **(_student_side(record) if asks_first else {})))
        else:
            drawn.append(replace(record, method=name))
    return drawn


def _student_side(record: Record) -> dict[str, Any]:
    """What the student spent before it was decided."""
    return {"student_tokens": record.student_tokens, "student_prefilled": record.student_prefilled,
            "student_seconds": record.student_seconds}
