"""Grade a completion with the grader that its problem needs: mathematics, choice or words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relayllm.errors import DataError
from relayllm.grading.equivalence import TIME_LIMIT as TIME_LIMIT
from relayllm.grading.graders import choice, mathematics, wording
from relayllm.problems.catalogue import grading_of
from relayllm.problems.problem import Problem


@dataclass(frozen=True, slots=True)
class Grade:
    """What came of grading one completion."""

    correct: bool
    extracted: str | None
    """The answer as found in the completion; None when there is none."""
    reason: str
    """What decided: "equal text", "equal number", "equivalent", "different", "no answer", "time limit" or
    "grader failed"."""


Finder = Callable[[str, Problem], str | None]
Decide = Callable[[str, Problem, float], tuple[bool, str]]

KINDS: dict[str, tuple[Finder, Decide]] = {
    "math": (mathematics.find, mathematics.judge),
    "choice": (choice.find, choice.judge),
    "text": (wording.find, wording.judge),
}
"""Kind of grading -> how the answer is found, and how it is compared with the gold answer."""


def grade(text: str, problem: Problem, seconds: float = 5.0) -> Grade:
    """Grade a completion by the rules of the problem's benchmark.

    Equal text and plain numbers are decided in microseconds; only what is left goes to SymPy, which runs in a process
    of its own and is killed after `seconds` of processor time. A completion that cannot be graded is wrong, never an
    exception.

    Raises:
        DataError: the problem asks for a kind of grading that does not exist.
    """
    kind = grading_of(problem)
    if kind not in KINDS:
        raise DataError(f"problem {problem.id} asks for grading {kind!r}: its meta.grading must be one of "
                        f"{', '.join(KINDS)}")
    find, judge = KINDS[kind]
    extracted = find(text, problem)
    if extracted is None:
        return Grade(False, None, "no answer")
    correct, reason = judge(extracted, problem, seconds)
    return Grade(correct, extracted, reason)
