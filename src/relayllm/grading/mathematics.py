"""Grade answers in mathematics: text, then number, then words, then the worker with all of SymPy."""

from __future__ import annotations

import re

from relayllm.grading.boxes import find_answer
from relayllm.grading.equivalence import equivalent
from relayllm.grading.normal import canonical, is_words, number
from relayllm.grading.numerals import same_number
from relayllm.problems.catalogue import tolerance_of
from relayllm.problems.problem import Problem

Verdict = tuple[bool, str]

IN_BASE = re.compile(r"(-?[0-9A-Fa-f.]+)_(?:\{(\d+)\}|(\d+))")


def find(text: str, problem: Problem) -> str | None:
    """The answer a completion gives."""
    return find_answer(text)


def judge(answer: str, problem: Problem, seconds: float) -> Verdict:
    """Compare with the gold answer; cheap ways first."""
    if answer == problem.answer:
        return True, "equal text"
    found, gold = canonical(answer), canonical(problem.answer)
    tolerance = tolerance_of(problem)
    same = same_number(problem.answer, answer, tolerance)
    if same is not None:
        return same, "equal number" if same else "different"
    decided = _by_text(found, gold) or _by_base(found, gold)
    return decided or equivalent(problem.answer, answer, tolerance, seconds)


def _by_text(found: str, gold: str) -> Verdict | None:
    if found == gold or (is_words(gold) and found.casefold() == gold.casefold()):
        return True, "equal text"
    return (False, "different") if is_words(gold) and "=" not in found else None


def _by_base(found: str, gold: str) -> Verdict | None:
    """Numbers that name their base. An answer may leave it out, as the question names it."""
    wanted = IN_BASE.fullmatch(gold)
    if wanted is None:
        return None
    given = IN_BASE.fullmatch(found)
    if given is None and number(found) is None:
        return None
    base = wanted.group(2) or wanted.group(3)
    same = _digits(found) == _digits(gold) and (given is None or (given.group(2) or given.group(3)) == base)
    return same, "equal text" if same else "different"


def _digits(text: str) -> str:
    return text.partition("_")[0].lstrip("0")
