"""Grade answers in mathematics: text, then number, then words, then the worker with all of SymPy."""

from __future__ import annotations

import re

from relayllm.grading.boxes import find_answer
from relayllm.grading.equivalence import equivalent
from relayllm.grading.normal import canonical, is_words, number
from relayllm.grading.plain import same_plain
from relayllm.grading.spelled_numbers import SMALL
from relayllm.problems.catalogue import tolerance_of
from relayllm.problems.problem import Problem

Decision = tuple[bool, str]

BASES = {word: str(value) for word, value in SMALL.items() if 2 <= value <= 16}
IN_BASE = re.compile(rf"\(?(-?[0-9A-Fa-f.]+)\)?(?:_\{{?\(?(?:base)?|base\{{?)(\d+|{'|'.join(BASES)})\)?\}}?")
OPTION = re.compile(r"(?:(?:option|choice|answer)\s*)?(?:\(?(?-i:([A-J]))(?:\)|[.:](?=\S))[.:]?(.*)"
                    r"|(?<=\w\s)(?-i:([A-J])))", re.IGNORECASE)
ANOTHER = re.compile(r"\([A-J]\)|(?:[,;]|or|and|&)\s*\(?[A-J]\)?\.?$|^\s*(?:or|and|&|\+|±|\\pm|[,;]\s*[-\d\\])")
"""Letters of options in what stands behind the first of them, or a value beside it: "(C): 12" is C and its text,
"(C), 12" is two answers, as "$(C)$ or $12$" is read."""


def find(text: str, problem: Problem) -> str | None:
    """The answer a completion gives."""
    return find_answer(text)


def judge(answer: str, problem: Problem, seconds: float) -> Decision:
    """Compare with the gold answer; cheap ways first."""
    if answer == problem.answer:
        return True, "equal text"
    found, gold = canonical(answer), canonical(problem.answer)
    tolerance = tolerance_of(problem)
    same = same_plain(problem.answer, answer, tolerance)
    if same is not None:
        return same, "equal number" if same else "different"
    decided = _by_text(found, gold) or _by_base(found, gold)
    return decided or equivalent(problem.answer, answer, tolerance, seconds)


def _by_text(found: str, gold: str) -> Decision | None:
    if found == gold or (is_words(gold) and _without_article(found) == _without_article(gold)):
        return True, "equal text"
    option = OPTION.fullmatch(found) if len(gold) == 1 and gold.isupper() else None
    if option is not None:
        same = (option[1] or option[3]) == gold and not ANOTHER.search(option[2] or "")
        return same, "equal text" if same else "different"
    return (False, "different") if is_words(gold) and "=" not in found and "emptyset" not in found else None


def _without_article(words: str) -> str:
    return re.sub(r"^(?:an?|the) ", "", words.casefold()).rstrip("!")


def _by_base(found: str, gold: str) -> Decision | None:
    """Numbers that name their base. An answer may leave it out, as the question names it."""
    wanted, given = IN_BASE.fullmatch(gold), IN_BASE.fullmatch(found)
    if wanted is None:
        value, right = None if given is None else _in_base(given.group(1), _base(given)), number(gold)
        if value is None or right is None:
            return None
        return value == right, "equal number" if value == right else "different"
    if given is None and re.fullmatch(r"-?[0-9A-Fa-f.]+", found) is None:
        return None
    same = _digits(found) == _digits(gold) and (given is None or _base(given) == _base(wanted))
    return same, "equal text" if same else "different"


def _in_base(digits: str, base: str) -> int | None:
    try:
        return int(digits, int(base))
    except ValueError:
        return None


def _base(found: re.Match[str]) -> str:
    return BASES.get(found.group(2), found.group(2))


def _digits(text: str) -> str:
    found = IN_BASE.fullmatch(text)
    return (found.group(1) if found else text).lstrip("0").casefold()
