"""Columns of a table of problems that say which question stands in it twice, or in a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relayllm.grading import grade
from relayllm.problems.problem import Problem
from relayllm.validation.overlap import TEMPLATE, Match, overlaps
from relayllm.validation.results import ExpectationResult
from relayllm.validation.tables import question_text

if TYPE_CHECKING:
    import pandas as pd


def add_same_questions(frame: pd.DataFrame, sets: Sequence[Sequence[Problem]]) -> None:
    """Add `contradicts` and `again`: the earlier row of the same set with the same question, by its answer.

    Training grades every answer to a question against one gold; of two that differ, one would win unseen.
    """
    contradicts: list[str | None] = []
    again: list[str | None] = []
    for problems in sets:
        first = _first_asked(problems)
        for problem in problems:
            other = first[_asked(problem)]
            agrees = other is problem or _same_answer(other, problem)
            contradicts.append(None if agrees else f"answer {problem.answer:.40}, but {other.answer:.40} in {other.id}")
            again.append(other.id if agrees and other is not problem else None)
    frame["contradicts"], frame["again"] = _objects(contradicts), _objects(again)


def contradicted(problems: Sequence[Problem]) -> set[str]:
    """Ids of the problems whose question stands in the set with different answers: of each such question, all."""
    first = _first_asked(problems)
    wrong = {_asked(problem) for problem in problems if not _same_answer(first[_asked(problem)], problem)}
    return {problem.id for problem in problems if _asked(problem) in wrong}


def _first_asked(problems: Sequence[Problem]) -> dict[str, Problem]:
    return {_asked(problem): problem for problem in reversed(problems)}


def _asked(problem: Problem) -> str:
    """The question as it is compared for equality: in lower case, white space as one space."""
    return " ".join(question_text(problem).split()).casefold()


def add_overlap(frame: pd.DataFrame, training: Sequence[Problem], benchmarks: Mapping[str, Sequence[Problem]],
                similarity: float) -> ExpectationResult:
    """Add `repeats` (copies) and `variant_of`; what only follows a template is counted in the result."""
    questions = {problem.id: question_text(problem) for problems in benchmarks.values() for problem in problems}
    matches = overlaps([question_text(problem) for problem in training], questions, similarity)
    frame["repeats"] = _objects([_named(match, "copy") for match in matches])
    frame["variant_of"] = _objects([_named(match, "variant") for match in matches])
    return _templates(matches)


def _templates(matches: Sequence[Match | None]) -> ExpectationResult:
    following = sum(match is not None and match.kind == "template" for match in matches)
    return ExpectationResult(
        check="training", passed=not following, critical=False, column="template",
        expectation=f"no template of a benchmark (a form that over {TEMPLATE} training questions share: a repeated "
                    "template, not taken for contamination)",
        observed=f"{following} of {len(matches)} questions")


def _named(match: Match | None, kind: str) -> str | None:
    return str(match) if match is not None and match.kind == kind else None


def _same_answer(left: Problem, right: Problem) -> bool:
    return left.answer == right.answer or grade(f"\\boxed{{{left.answer}}}", right).correct


def _objects(values: list[str | None]) -> Any:
    """A column of text or nothing, also where there is nothing in any row."""
    import pandas as pd

    return pd.Series(values, dtype=object)
