"""Which of the paper's three situations a group of roll-outs is in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Scenario(StrEnum):
    """The paper's three situations, told from the roll-outs of one problem (section 3.3 of arXiv 2601.05167)."""

    STUDENT_SOLVABLE = "student_solvable"
    """Some completion is right without a call."""
    TEACHER_DEPENDENT = "teacher_dependent"
    """Right ones exist, and all of them called."""
    TEACHER_UNSOLVABLE = "teacher_unsolvable"
    """None is right."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reward may look at: read off the trace and the grade, never off the text."""

    correct: bool
    called: bool
    call_ratio: float
    cost: float = 0.0
    """What the answer cost, in the currency of the prices it was counted at."""


def scenario_of(group: Sequence[Outcome]) -> Scenario:
    """The scenario of one problem's roll-outs.

    Raises:
        ValueError: the group is empty.
    """
    if not group:
        raise ValueError("a group without roll-outs has no scenario")
    right = [outcome for outcome in group if outcome.correct]
    if not right:
        return Scenario.TEACHER_UNSOLVABLE
    if any(not outcome.called for outcome in right):
        return Scenario.STUDENT_SOLVABLE
    return Scenario.TEACHER_DEPENDENT
