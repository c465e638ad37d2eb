r"""Find an answer that stands in no box: behind `####`, or behind words such as "the answer is"."""

from __future__ import annotations

import re

MARK = re.compile(r"####[ \t]*\n?[ \t]*([^\n]+)")
HEADING = re.compile(r"[^\w\\]*(?:(?!answer|the\b|final\b)[A-Za-z]{2,}\b[\s:]+\S|final answer\W*$|\d+[.):]\s+[A-Za-z])",
                     re.IGNORECASE)
"""`#### Step 1: ...` and `#### 2. Compute` are headings of Markdown."""
ANNOUNCED = re.compile(
    r"\b(?:answers?|ans)\**(?:,?\s+(?:to|for|of|here|then)\b[^.\n:=]{0,80}?|\s+(?:i|we)\s[^.\n:=]{1,40}?(?=\s+is\b))?"
    r"(?:\s+(?:is|are|equals|becomes|comes out to|(?:should|must|would|will) be)\b|\s*[:=])\**\s*[:,]?\s*"
    r"(?:(?:(?:found|determined|calculated) to be|therefore|thus|simply|just|of course|equal to|given by|indeed)\b"
    r"[\s:,]*)*"
    r"(?!(?:in)?correct\b|right\b|wrong\b|(?:un)?reasonable\b|(?:in)?valid\b|not\b|in\b|given\b|rounded\b|written\b"
    r"|obtained\b|found\b|calculated\b|computed\b|derived\b)"
    r"(?:(?<=\n)[-*•]\s+)?(?=\S)"
    r"|^[#*\s]*(?:final\s+)?answer[*\s]*(?:[-–—](?=\s)|->|→)\s*|^[#*\s]*final answer[*\s]*\n\s*(?=\S)"
    r"|答案(?:是|为)?\s*[:：]?\s*(?=\S)|^(?:#+\s*\**|\*\*)answer\**\s*\n\s*(?=\S)|<answer>\s*(?=\S)",
    re.IGNORECASE | re.MULTILINE)
MADE_UP = re.compile(r"\n\s*(?:\*\*|#+ )?(?:Question|Problem|Exercise|Example|Q|User|Human|Instruction)\b\s*\d*\s*[:.]"
                     r"|\n\s*#+ (?:Question|Problem|Exercise|Example|Instruction)\b", re.IGNORECASE)
"""Where a model that was not stopped goes on with a question of its own."""
MATHS = re.compile(r"\$\$((?:\\.|[^$\\])+)\$\$|\$(?!\s)((?:\\.|[^$\\])+)(?<!\s)\$(?!\d)|\$\s((?:\\.|[^$\\])+)\s\$"
                   r"|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
"""A dollar sign before a number is one of mathematics only when another closes it: "$4 + $8" has none."""
JOIN = re.compile(r"\s*(?:,\s*)?(?:and|or|,)\s*", re.IGNORECASE)
GOES_ON = re.compile(r"\s*(?:=|≈|<|>)")
HOPE = re.compile(r"\.?\s*I hope it is correct.*$", re.IGNORECASE | re.DOTALL)
TAG = re.compile(r"</?[A-Za-z]+>|<\|[^<>|]*\|>")
SENTENCE = re.compile(r"\.(?=\s+[A-Z(])|[.;,]?\s+(?:because|since|as we|which|so that)\b"
                      r"|\s+\(|(?<=\w)[!?]+(?=\s|$)|(?<=\b[Yy]es),|(?<=\b[Nn]o),"
                      r"|(?:;|(?<=\d):|\s[-–—])\s+(?=[a-z]{2})|,\s+not\b"
                      r"|,?\s+(?:and|but|so)\s+(?:I|he|she|it|they|we|that|this|nothing)\b")
_PICTURE = "[\\s☀-➿\U0001F300-\U0001FAFF\uFE0F]+"
ASIDE = re.compile(r"(?<![\\A-Za-z])(?!(?:sin|cos|tan|log|exp|sqrt)\b)(?:[A-Za-z]{3,}|or)\b")
PLACE = re.compile(r"\\.*|point|pair|interval|triple|set|vector|and|or|sin|cos|tan|log|exp|sqrt|arc.*", re.IGNORECASE)
"""What a bracket of mathematics may follow."""
PICTURES = re.compile(f"^{_PICTURE}|{_PICTURE}$")
EMPHASIS = re.compile(r"(?<![\w\\])(\*\*|__|\*|_|`)(?=\S)(.+?)(?<=\S)\1(?!\w)")
LONGEST = 1000
"""Characters behind an announcement that are looked at."""


def find_announced(text: str) -> str | None:
    """The answer behind the first `####`, or else behind the last announcement before a question the model made up."""
    marked = [line for line in MARK.findall(text) if not HEADING.match(line)]
    if marked:
        return _said(marked[0].partition("####")[0][:LONGEST])
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
    line = PICTURES.sub("", EMPHASIS.sub(r"\2", EMPHASIS.sub(r"\2", TAG.sub("", line))))
    if "boxed" in line:
        return None  # a box that was cut off
    if maths := _maths(line):
        return maths
    plain = line[:_end(line)].strip().strip("*`").strip()
    return re.sub(r"(?<!\.)\.$", "", plain).strip() or None


def _end(line: str) -> int:
    """Where the first sentence ends; a bracket with an aside ends it, one of mathematics does not."""
    ends = (found for found in SENTENCE.finditer(line) if not found.group().endswith("(")
            or _is_aside(line[:found.start()], line[found.end():].partition(")")[0]))
    return next((found.start() for found in ends), len(line))


def _is_aside(before: str, inside: str) -> bool:
    r"""`12 (twelve)`, `3 meters (or so)`, `12 (6+6)`; not `n (n+1)`, `\cos (t)`, `\cup (3,4)`, `the point (3,4)`."""
    word = re.search(r"\\?[A-Za-z]+$", before)
    if ASIDE.search(inside) and not (word and word.group().startswith("\\")):
        return True
    if word:
        return len(word.group()) > 2 and not PLACE.fullmatch(word.group())
    return before[-1:].isdigit() and re.search(r"[A-Za-z,]", inside) is None


def _maths(line: str) -> str | None:
    """The first mathematics, with what "and", "or" or a comma joins to it; None: it is a part of what is said."""
    first = MATHS.search(line)
    if first is None or re.search(r"\d|(?:[A-Za-z]+\s+){7}", line[:first.start()]):
        return None
    parts, end = [_inside(first)], first.end()
    while (join := JOIN.match(line, end)) and (more := MATHS.match(line, join.end())):
        parts.append(_inside(more))
        end = more.end()
    if GOES_ON.match(line, end):
        return None
    return ", ".join(parts) or None


def _inside(found: re.Match[str]) -> str:
    return next(part for part in found.groups() if part is not None).strip().rstrip(".").strip()
