r"""The gold answer within a worked one: what follows GSM8K's `####`, or stands in the last `\boxed{}`."""

from __future__ import annotations

import re

MARK = "####"
BOX = re.compile(r"\\f?boxed\s*\{")
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def split_worked(text: str) -> tuple[str, str]:
    r"""Solution and answer of a worked answer; an answer alone is returned with an empty solution.

    Raises:
        ValueError: nothing follows `####`.
    """
    solution, mark, answer = text.rpartition(MARK)
    if mark:
        if not answer.strip():
            raise ValueError(f"its answer has nothing behind `{MARK}`")
        return solution.strip(), answer.strip().replace(",", "")
    content = last_box(text)
    return (text.strip(), content) if content else ("", text.strip())


def last_box(text: str) -> str | None:
    r"""The content of the last `\boxed{}` whose braces close, or None."""
    for start in reversed([found.end() for found in BOX.finditer(text)]):
        depth = 1
        for brace in BRACE.finditer(text, start):
            depth += {"{": 1, "}": -1}.get(brace.group(), 0)
            if depth == 0:
                return text[start:brace.start()].strip() or None
    return None
