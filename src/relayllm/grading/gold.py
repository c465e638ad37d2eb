"""Whether a gold answer can be graded against at all, and why not."""

from __future__ import annotations

import string

from relayllm.grading.equivalence import fault
from relayllm.grading.graders.mathematics import IN_BASE
from relayllm.grading.normal import canonical, is_words, named, number
from relayllm.grading.plain import same_plain
from relayllm.problems.catalogue import grading_of
from relayllm.problems.problem import Problem


def fault_of_gold(problem: Problem, seconds: float = 5.0) -> str | None:
    """What is wrong with a gold answer; None when it can be graded against.

    Multiple choice: a letter among the choices. Words: any. Mathematics: a number, a word, or parts that are each read
    whole; a gold answer of which only a part can be read would be taken for that part.
    """
    kind = grading_of(problem)
    if kind == "choice":
        return _fault_of_letter(problem)
    text = canonical(problem.answer)
    if not text:
        return "it is empty"
    value = number(named(text)[1])
    plain = kind == "text" or value is not None or is_words(text) or IN_BASE.fullmatch(text) or same_plain(
        problem.answer, problem.answer, 0.0)
    return None if plain else fault(problem.answer, seconds)


def _fault_of_letter(problem: Problem) -> str | None:
    letters = string.ascii_uppercase[:len(problem.meta.get("choices") or string.ascii_uppercase)]
    answer = problem.answer.strip().upper()
    return None if len(answer) == 1 and answer in letters else f"it is no letter from A to {letters[-1]}"
