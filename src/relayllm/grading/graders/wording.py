"""Grade short answers in words: the same letters, whatever the case, the quotes and the spacing."""

from __future__ import annotations

import re

from relayllm.grading.boxes import find_answer
from relayllm.grading.normal import canonical, number
from relayllm.problems.problem import Problem


def find(text: str, problem: Problem) -> str | None:
    """The answer a completion gives."""
    return find_answer(text)


def judge(answer: str, problem: Problem, seconds: float) -> tuple[bool, str]:
    """Compare with the gold answer as BBEH's own scorer does: case, quotes, brackets and final marks do not count."""
    found, gold = _plain(answer), _plain(problem.answer)
    if found == gold:
        return True, "equal text"
    left, right = number(found), number(gold)
    same = left is not None and left == right
    return same, "equal number" if same else "different"


def _plain(answer: str) -> str:
    """Lower case, no LaTeX text, no quotes, `(a)` and `[a]` like `a`, lists with single spaces."""
    text = canonical(re.sub(r"\\(?:text|mathrm|textbf|mathbf)\s*\{([^{}]*)\}", r"\1", answer)).casefold()
    text = text.strip("\"'`*").rstrip(".?!").strip("\"'`")
    bracketed = re.fullmatch(r"[(\[{]\s*([^()\[\]{}]*?)\s*[)\]}]", text)
    text = bracketed.group(1) if bracketed else text
    return re.sub(r"\s*,\s*", ",", re.sub(r"[\"']", "", text)).replace(" ", "")
