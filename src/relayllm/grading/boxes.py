r"""Find the part of a completion that claims to be the answer: the last `\boxed{}`, or what it announces as such."""

from __future__ import annotations

import re

from relayllm.grading.announcements import find_announced

BOX = re.compile(r"(?:\\f?[bB]ox(?:ed)?|(?<![A-Za-z\\])boxed)\s*(?=\{)|\\boxed(?=[(\[])|\\boxed\s+(?=[^\s{])")
BEHIND = re.compile(r"[^\s$.,\\]+")
"""The rest of `\\boxed (1+2)/3`."""
ROUND = re.compile(r"\\.|[()\[\]]", re.DOTALL)
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
WORD = re.compile(r"[^\s$.,]+")
GAP = r"(?:[ \t$~&]|\\[()\[\],;:! ]|\\q?quad(?![A-Za-z]))*"
BETWEEN = re.compile(rf"{GAP}\.?{GAP}[,;]?{GAP}\n?"
                     rf"(?:and|or|\\(?:text|mathrm|mbox)\{{\s*,?\s*(?:and|or)\s*\}})?{GAP}"
                     r"(?:[A-Za-z](?:_\{?\w\}?)?\s*=\s*)?")
"""What may stand between boxes that together are one answer: spaces, a comma, "and", "or", mathematics, `x =`."""
LONGEST_JOIN = 60
"""Characters of it."""
LONGEST_BRACKET = 1000
"""Characters between the brackets of a box that has no braces."""


def find_answer(text: str) -> str | None:
    """The content of the last complete box, or what the text announces ("the answer is 5") where there is no box.

    Boxes that follow each other with nothing but "and", "or" or a comma between them are one answer of several parts.
    A box that was cut off by the token budget is none, and takes nothing from the box before it unless it says
    something else: `\\boxed{5} ... \\boxed{` is 5, `\\boxed{5} ... \\boxed{12` is no answer. What stands before
    `</think>` counts only where nothing is behind it.
    """
    text = spoken(text)
    heads = list(BOX.finditer(text))
    if not heads:
        return find_announced(text)
    found, cut_off = _last_boxes(text, heads)
    answer = ", ".join(found) or None
    if answer is not None and cut_off is not None and not found[-1].startswith(cut_off):
        return None
    return answer if answer is not None or cut_off is not None else find_announced(text)


def spoken(text: str) -> str:
    """What stands behind `</think>`, or all of it where nothing does."""
    thought, _, said = text.rpartition("</think>")
    return said if said.strip() else thought


def _last_boxes(text: str, heads: list[re.Match[str]]) -> tuple[list[str], str | None]:
    """Contents of the last run of boxes, nested ones unwrapped, and what a box that is never closed begins with."""
    closings = _closings(text)
    run: list[str] = []
    end, cut_off = 0, None
    for head in heads:
        span = _span(text, head.end(), closings)
        if head.start() < end:
            continue  # inside the box before
        if span is None:
            cut_off = cut_off or text[head.end() + 1:].strip()
            continue
        cut_off = None
        if head.start() - end > LONGEST_JOIN or not BETWEEN.fullmatch(text, end, head.start()):
            run = []
        run.append(_unwrap(text[span[0]:span[1]]))
        end = span[1] + (text[head.end()] == "{")
    return _once([content for content in run if content]), cut_off


def _once(run: list[str]) -> list[str]:
    """A box that is only said again is one."""
    return run[:1] if len({*run}) == 1 else run


def _closings(text: str) -> dict[int, int]:
    """Where each brace that is closed is closed, in one pass: a model in a loop writes `\\boxed{` a thousand times."""
    found: dict[int, int] = {}
    stack: list[int] = []
    for match in BRACE.finditer(text):
        if match.group() == "{":
            stack.append(match.start())
        elif match.group() == "}" and stack:
            found[stack.pop()] = match.start()
    return found


def _span(text: str, start: int, closings: dict[int, int]) -> tuple[int, int] | None:
    """Start and end of what a box holds; None: its brace is never closed."""
    if text[start] == "{":
        return (start + 1, closings[start]) if start in closings else None
    if text[start] in "([":
        return _bracketed(text, start)
    word = WORD.match(text, start)
    return word.span() if word else None


def _bracketed(text: str, start: int) -> tuple[int, int] | None:
    r"""`\boxed(12)`, with its brackets, which may be meant; None: they are never closed."""
    depth = 0
    for match in ROUND.finditer(text, start, start + LONGEST_BRACKET):
        depth += (match.group() in "([") - (match.group() in ")]")
        if depth == 0:
            behind = BEHIND.match(text, match.end())
            return start, behind.end() if behind else match.end()
    return None


def _unwrap(content: str) -> str:
    r"""`x=\boxed{5}` -> `x=5`."""
    heads = list(BOX.finditer(content))
    if not heads:
        return content.strip()
    closings = _closings(content)
    removed = {place for head in heads for place in range(*head.span())}
    for head in heads:
        if head.end() in closings:
            removed |= {head.end(), closings[head.end()]}
    return "".join(letter for place, letter in enumerate(content) if place not in removed).strip()
