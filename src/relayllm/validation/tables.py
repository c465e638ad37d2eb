"""Problems as tables, with a column for everything that an expectation looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from relayllm.grading import grade
from relayllm.grading.boxes import find_answer
from relayllm.grading.gold import fault_of_gold
from relayllm.problems.problem import Problem

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("set", "id", "question", "answer", "question_chars", "answer_chars", "gold_fault", "solution_agrees")


def question_text(problem: Problem) -> str:
    """What tells a problem from another: the question with its options ("Which of these is true?" is asked often)."""
    return "\n".join([problem.question, *map(str, problem.meta.get("choices") or [])])


def table(sets: Sequence[tuple[str, Sequence[Problem]]]) -> pd.DataFrame:
    """One row per problem of the named sets."""
    import pandas as pd

    return pd.DataFrame([_row(name, problem) for name, problems in sets for problem in problems], columns=list(COLUMNS))


def _row(name: str, problem: Problem) -> dict[str, Any]:
    return {"set": name, "id": problem.id, "question": problem.question, "answer": problem.answer,
            "question_chars": len(problem.question), "answer_chars": len(problem.answer),
            "gold_fault": fault_of_gold(problem), "solution_agrees": _solution_agrees(problem)}


def _solution_agrees(problem: Problem) -> bool:
    """Whether a worked answer that ends in a box ends in the gold answer; others say nothing either way."""
    if "\\boxed" not in problem.solution or find_answer(problem.solution) is None:
        return True
    return grade(problem.solution, problem).correct

