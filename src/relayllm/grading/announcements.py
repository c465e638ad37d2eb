r"""Find an answer that stands in no box: behind `####`, or behind words such as "the answer is"."""

from __future__ import annotations

import re

MARK = re.compile(r"####[ \t]*([^\n]+)")
HEADING = re.compile(r"\W*(?:[A-Za-z]{2,}\b[\s:]+\S|\d+[.):]\s+[A-Za-z])")
"""`#### Step 1: ...` and `#### 2. Compute` are headings of Markdown."""
ANNOUNCED = re.compile(r"\banswers?\**(?:\s+to\s+[^.\n:]{1,80}?)?\s*(?:is\b|are\b|:|=)\**\s*[:,]?\s*"
                       r"(?:(?:therefore|thus|simply|just|of course|equal to|given by|indeed)\b[\s:,]*)*"
                       r"(?!(?:in)?correct\b|right\b|wrong\b|(?:un)?reasonable\b|(?:in)?valid\b|not\b|in the\b)(?=\S)"
                       r"|^[#*\s]*final answer[*\s]*\n\s*(?=\S)", re.IGNORECASE | re.MULTILINE)
MADE_UP = re.compile(r"\n\s*(?:\*\*|#+ )?(?:Question|Problem|Exercise|Q|User|Human|Instruction)\b\s*\d*\s*[:.]",
                     re.IGNORECASE)
"""Where a model that was not stopped goes on with a question of its own."""
MATHS = re.compile(r"\$\$?((?:\\.|[^$\\])+)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
JOIN = re.compile(r"\s*(?:,\s*)?(?:and|or|,)\s*", re.IGNORECASE)
HOPE = re.compile(r"\.?\s*I hope it is correct.*$", re.IGNORECASE | re.DOTALL)
SENTENCE = re.compile(r"\.(?=\s+[A-Z(])|[.;,]?\s+(?:because|since|as we|which|so that)\b|\s+\(|(?<=\w)[!?](?=\s|$)")
EMPHASIS = re.compile(r"(?<![\w\\])(\*\*|__|\*|`)(?=\S)(.+?)(?<=\S)\1(?!\w)")
LONGEST = 1000
"""Characters behind an announcement that are looked at."""


def find_announced(text: str) -> str | None:
    """The answer behind the first `####`, or else behind the last announcement before a question the model made up."""
    marked = [line for line in MARK.findall(text) if not HEADING.match(line)]
    if marked:
        return _said(marked[0][:LONGEST])
    end = None
    for match in ANNOUNCED.finditer(text):
        if end is not None and MADE_UP.search(text, end, match.start()):
            break
        end = match.end()
    return None if end is None else _said(text[end:end + LONGEST])


def _said(text: str) -> str | None:
    """What a text begins with: mathematics with all its alternatives, or its first sentence without Markdown."""
    text = HOPE.sub("", text.strip())
    displayed = text.startswith(("$$", "\\["))
    line = text if displayed else text.partition("\n")[0]
    line = EMPHASIS.sub(r"\2", EMPHASIS.sub(r"\2", line))
    if "boxed" in line:
        return None  # a box that was cut off
    if maths := _maths(line):
        return maths
    plain = SENTENCE.split(line, maxsplit=1)[0].strip().strip("*`").strip()
    return re.sub(r"(?<!\.)\.$", "", plain).strip() or None


def _maths(line: str) -> str | None:
    """The first mathematics, with what "and", "or" or a comma joins to it; None: a number or words come before it."""
    first = MATHS.search(line)
    if first is None or re.search(r"\d|(?:[A-Za-z]+\s+){7}", line[:first.start()]):
        return None
    parts, end = [_inside(first)], first.end()
    while (join := JOIN.match(line, end)) and (more := MATHS.match(line, join.end())):
        parts.append(_inside(more))
        end = more.end()
    return ", ".join(parts) or None


def _inside(found: re.Match[str]) -> str:
    return next(part for part in found.groups() if part is not None).strip().rstrip(".").strip()
