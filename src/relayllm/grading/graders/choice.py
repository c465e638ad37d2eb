"""Grade multiple choice: the letter, or the words of the option itself."""

from __future__ import annotations

import re

from relayllm.grading.boxes import find_answer, spoken
from relayllm.grading.normal import canonical
from relayllm.grading.numerals import same_number
from relayllm.problems.problem import Problem

LETTER = re.compile(r"(?:option|choice|answer)?\s*[\[(]?([A-Za-z])[\])]?(?:[.:)]?\s*|[.:)]\s*.*)",
                    re.IGNORECASE | re.DOTALL)
LETTERED = re.compile(r"[\[(]?([A-Z])\b[^\w\\$]+(.+?)[\])]?", re.DOTALL)
"""A letter and the option behind it; of another option it is no choice."""
ANNOUNCED = re.compile(r"(?:answer|choice|option)\**\s*(?P<mark>is\b|:|=)?\s*:?\s*\**\s*(?:option|choice)?\s*"
                       r"(?:\((?P<bracketed>[A-Z])\)|(?-i:(?P<letter>[A-Z]))(?![\w'])\)?)"
                       r"(?P<more>\**\s*(?:,|/|&|or\b|and\b)\s*\**(?:\([A-Z]\)|(?-i:[A-Z])(?![\w'])(?!\s+(?:is|are|was)\b)))?",
                       re.IGNORECASE)
"""A letter that is said to be the answer, and whether another is named with it."""


def find(text: str, problem: Problem) -> str | None:
    """The letter a completion chooses; the words it boxed when they are no letter and no option."""
    text = spoken(text)
    said = find_answer(text)
    if said is not None and "boxed" in text:
        return _letter(said, problem) or said
    announced = list(ANNOUNCED.finditer(text))
    if announced:
        last = ([found for found in announced if found["mark"]] or announced)[-1]
        return last.group() if last["more"] else (last["bracketed"] or last["letter"]).upper()
    return (_letter(said, problem) if said else None) or _letter(text.strip().rpartition("\n")[2], problem)


def judge(answer: str, problem: Problem, seconds: float) -> tuple[bool, str]:
    """Compare the chosen letter with the gold one."""
    same = answer.strip().upper() == problem.answer.strip().upper()
    return same, "equal text" if same else "different"


def _letter(answer: str, problem: Problem) -> str | None:
    plain, options = _without_text(answer), [str(option) for option in problem.meta.get("choices", [])]
    words = [canonical(option).casefold() for option in options]
    if len(plain) > 1 and canonical(answer).casefold() in words:
        return _at(words.index(canonical(answer).casefold()))
    if found := LETTER.fullmatch(plain):
        return found.group(1).upper()
    if found := LETTERED.fullmatch(plain):
        own = words[ord(found.group(1)) - ord("A"):][:1]
        return found.group(1) if own == [canonical(found.group(2)).casefold()] else None
    values = [place for place, option in enumerate(options) if same_number(option, answer, 0.0)]
    return _at(values[0]) if values else None


def _at(place: int) -> str:
    return chr(ord("A") + place)


def _without_text(answer: str) -> str:
    return re.sub(r"\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}", r"\1", answer).strip().strip("{}$* ")
