r"""Read the structure of an answer: lists, tuples, sets, intervals, unions, matrices, relations, and what is one value.

The whole answer is read, or it is one value as it stands: nothing is left out because the rest could be read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise, product

from relayllm.grading.normal import GROUPED, canonical, tidy

SIGNS = re.compile(r"\\(?:le|ge|ne|in|approx|simeq|equiv|notin|lt|gt|sim|to|rightarrow)(?![A-Za-z])|(?<!\\)[=<>≈]")
AND = re.compile(r",?\s*\\(?:text|mathrm|mbox)\s*\{\s*,?\s*(?:and|or)\s*\}\s*,?"
                 r"|,?\s*(?:(?<![A-Za-z\\])(?:and|or(?!\s+(?:more|less|fewer|greater|higher|above|below)\b))|\\lor|\\vee)(?![A-Za-z])\s*,?")
FOR_ALL = re.compile(r"(?<=\S)\s*,?\s*\(?(?:\\(?:text|mathrm|mbox)\s*\{\s*)?"
                     r"(?:for\s+(?:all|any|every|each)\b|\\forall).*$", re.DOTALL)
"""What an answer holds for, which is its question's."""
MATRIX = re.compile(r"\\begin\{((?:[pbB]|small)?matrix|array)\}(?:\{[clr|]*\})?(.*)\\end\{\1\}", re.DOTALL)
CASES = re.compile(r"\\begin\{(cases|aligned)\}(.*)\\end\{\1\}", re.DOTALL)
SUCH_THAT = re.compile(r"\\?[A-Za-z]+(?:\s*\\in\s*\\[A-Za-z]+(?:\{[A-Z]\}|\s*[A-Z]))?\s*(?:\\mid(?![A-Za-z])|[|:])\s*")
"""`x \\in \\mathbb{R} \\mid` of a set that is given by a condition."""
MOST_SIGNS = 4
SET = re.compile(r"\\\{(?:(?!\\[{}]).)*\\\}", re.DOTALL)
FRENCH = re.compile(r"([\[\]])([^\[\]]+[,;][^\[\]]+)([\[\]])")
"""`]3,4]`, where an end that is left out has its bracket turned."""
CLOSING = {"(": ")", "[": "]", "{": "}"}
BRACKET = re.compile(r"\\[{}]|\\[lr]angle(?![A-Za-z])|\\\\|\\[A-Za-z]+|[()\[\]{}]")
PLUS_MINUS, MINUS_PLUS = re.compile(r"\\pm(?![A-Za-z])|±"), re.compile(r"\\mp(?![A-Za-z])|∓")
DISTANCE = re.compile(r"(?:\||\\[lr]?vert(?![A-Za-z]))\s*(?P<factor>\d+)?(?P<name>[A-Za-z])\s*(?P<shift>[+-][^|]+?)?\s*"
                      r"(?:\||\\[lr]?vert(?![A-Za-z]))")
NAME = re.compile(r"(?:\\[A-Za-z]+|[A-Za-z])(?:_(?:\w|\{[^{}]*\}))?")


class Kind(StrEnum):
    """What an answer is made of."""

    VALUE = "value"
    LIST = "list"
    SET = "set"
    TUPLE = "tuple"
    UNION = "union"
    MATRIX = "matrix"
    RELATION = "relation"


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """An answer, or a part of one."""

    kind: Kind
    text: str
    """In one spelling of LaTeX."""
    parts: tuple[ParsedAnswer, ...] = ()
    marks: tuple[str, ...] = ()
    """Of a tuple its two brackets; of a relation the sign between each two parts; of a matrix its columns."""


@lru_cache(maxsize=4096)
def read(answer: str) -> ParsedAnswer:
    """An answer by its structure; without commas, brackets and signs it is one value."""
    text = FOR_ALL.sub("", AND.sub(", ", tidy(answer))).strip().rstrip(",;. ")
    if cases := CASES.fullmatch(text):
        text = re.sub(r"\s*[,;.]?\s*\\\\", ", ", cases[2].replace("&", "")).strip().rstrip(",;. ")
    pieces = [sign for piece in listed(text) for sign in _both_signs(piece)]
    if len(pieces) > 1:
        return ParsedAnswer(Kind.LIST, text, tuple(map(read, pieces)))
    links, marks = _cut(text, SIGNS)
    if len(links) > 1:
        return ParsedAnswer(Kind.RELATION, text, tuple(map(read, links)), tuple(marks))
    pieces, _ = _cut(text, re.compile(r"\\cup(?![A-Za-z])"))
    if len(pieces) > 1:
        return ParsedAnswer(Kind.UNION, text, tuple(map(read, pieces)))
    return _grouped(text)


def listed(text: str, always: bool = False) -> list[str]:
    """The parts between the commas outside all brackets; a number's thousands stay together.

    "1,000, 2,000" has two parts and "2,251,252" is a number; `always` makes three of it.
    """
    if GROUPED.fullmatch(text) and not always:
        return [text]
    loose, _ = _cut(text, re.compile(r"[,;]\s+"))
    if len(loose) > 1 and all(GROUPED.fullmatch(piece) or "," not in piece for piece in loose):
        return [piece for piece in loose if piece]
    pieces, _ = _cut(text, re.compile(r"[,;]"))
    return [piece for piece in pieces if piece]


def interval_of(answer: ParsedAnswer) -> ParsedAnswer:
    """`-2 \\le x < 7` as `[-2, 7)`, `x > 2` as an interval without an end; any other answer as it is."""
    if answer.kind is Kind.RELATION and answer.marks == ("\\ne",) and NAME.fullmatch(answer.parts[0].text):
        hole = answer.parts[1]
        sides = ((read(r"-\infty"), hole), (hole, read(r"\infty")))
        return ParsedAnswer(Kind.UNION, answer.text, tuple(
            ParsedAnswer(Kind.TUPLE, answer.text, side, ("(", ")")) for side in sides))
    if answer.kind is not Kind.RELATION or not set(answer.marks) <= {"<", ">", "\\le", "\\ge"}:
        return answer
    if len(answer.parts) == 2 and (distance := _interval_of_distance(answer)):
        return distance
    parts, marks = list(answer.parts), list(answer.marks)
    if NAME.fullmatch(parts[0].text):
        parts, marks = parts[::-1], [_turned(mark) for mark in marks[::-1]]
    if marks[0] in (">", "\\ge"):
        parts, marks = parts[::-1], [_turned(mark) for mark in marks[::-1]]
    place = next((index for index, part in enumerate(parts) if NAME.fullmatch(part.text)), None)
    if place is None or len({mark in ("<", "\\le") for mark in marks}) > 1 or (len(parts), place) not in (
            (2, 0), (2, 1), (3, 1)):
        return answer
    left = (parts[0], "(" if marks[0] == "<" else "[") if place == 1 else (read(r"-\infty"), "(")
    right = (parts[-1], ")" if marks[-1] == "<" else "]") if place < len(parts) - 1 else (read(r"\infty"), ")")
    return ParsedAnswer(Kind.TUPLE, answer.text, (left[0], right[0]), (left[1], right[1]))


def between(answer: ParsedAnswer) -> ParsedAnswer:
    """`x > -1, x < 1` as `(-1, 1)`, which is all that an interval can be written as; any other answer as it is."""
    if answer.kind is not Kind.LIST or len(answer.parts) != 2 or len({*map(name_of, answer.parts)} - {None}) != 1:
        return answer
    rays = [interval_of(part) for part in answer.parts]
    above, below = ([ray for ray in rays if ray.kind is Kind.TUPLE and ray.parts[place].text == end]
                    for place, end in ((1, "\\infty"), (0, "-\\infty")))
    if len(above) != 1 or len(below) != 1:
        return answer
    return ParsedAnswer(Kind.TUPLE, answer.text, (above[0].parts[0], below[0].parts[1]),
                        (above[0].marks[0], below[0].marks[1]))


def _interval_of_distance(answer: ParsedAnswer) -> ParsedAnswer | None:
    """`|x - 2| < 1` as `(1, 3)`, `|x| > 1` as the union of two rays; None: there is no distance, or on both sides."""
    (left, right), mark = answer.parts, answer.marks[0]
    if DISTANCE.fullmatch(right.text):
        left, right, mark = right, left, _turned(mark)
    found = DISTANCE.fullmatch(left.text)
    if found is None or found["name"] in right.text or found["name"] in (found["shift"] or ""):
        return None
    low, high = (read(rf"\frac{{{sign}({right.text})-({found['shift'] or 0})}}{{{found['factor'] or 1}}}")
                 for sign in "-+")
    opening, closing = ("[", "]") if mark in ("\\le", "\\ge") else ("(", ")")
    if mark in ("<", "\\le"):
        return ParsedAnswer(Kind.TUPLE, answer.text, (low, high), (opening, closing))
    rays = ((read(r"-\infty"), low), ("(", closing)), ((high, read(r"\infty")), (opening, ")"))
    return ParsedAnswer(Kind.UNION, answer.text, tuple(ParsedAnswer(Kind.TUPLE, answer.text, *ray) for ray in rays))


def name_of(answer: ParsedAnswer) -> str | None:
    """The unknown that an inequality is about."""
    if answer.kind is not Kind.RELATION:
        return None
    names = [part.text for part in answer.parts if NAME.fullmatch(part.text)] or [
        found["name"] for part in answer.parts if (found := DISTANCE.fullmatch(part.text))]
    return names[0] if len(names) == 1 else None


def _turned(mark: str) -> str:
    return {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}[mark]


def _grouped(text: str) -> ParsedAnswer:
    """What stands in one pair of brackets, a matrix, or a value."""
    if found := MATRIX.fullmatch(text):
        rows = [row.split("&") for row in re.split(r"\\\\", found.group(2)) if row.strip()]
        if len({len(row) for row in rows}) == 1:
            cells = tuple(read(cell) for row in rows for cell in row)
            return ParsedAnswer(Kind.MATRIX, text, cells, (str(len(rows[0])),))
    if (found := FRENCH.fullmatch(text)) and found[1] + found[3] != "[]":
        text = ("(" if found[1] == "]" else "[") + found[2] + (")" if found[3] == "[" else "]")
    outer = _outer(text)
    if outer is None:
        return ParsedAnswer(Kind.VALUE, text)
    opening, inside, closing = outer
    if opening == "\\{":
        if condition := SUCH_THAT.match(inside):
            return read(inside[condition.end():])
        members = [sign for piece in listed(inside, True) for sign in _both_signs(piece)]
        return ParsedAnswer(Kind.SET, text, tuple(map(read, members)))
    pieces = [piece for piece in (listed(inside, True) if opening != "{" else [inside]) if piece]
    rows = [listed(row[1], True) if (row := _outer(piece)) and row[0] == "[" == opening else [] for piece in pieces]
    if len(rows) > 1 and {*map(len, rows)} == {len(rows[0])} != {0}:  # [[1, 2], [3, 4]]
        return ParsedAnswer(Kind.MATRIX, text, tuple(read(cell) for row in rows for cell in row), (str(len(rows[0])),))
    if len(pieces) > 1:
        return ParsedAnswer(Kind.TUPLE, text, tuple(map(read, pieces)), (opening, closing))
    return read(inside) if pieces and CLOSING[opening] == closing else ParsedAnswer(Kind.VALUE, text)


def _outer(text: str) -> tuple[str, str, str] | None:
    """Opening bracket, inside and closing bracket when one pair holds the whole text."""
    found = list(_depths(text))
    if not found or found[0][1] != 0 or found[-1][2] != len(text) or any(depth == 0 for *_, depth in found[:-1]):
        return None
    first, last = found[0], found[-1]
    if last[3] != 0:
        return None
    plain = {"\\langle": "(", "\\rangle": ")"}
    opening, closing = plain.get(first[0], first[0]), plain.get(last[0], last[0])
    if opening not in CLOSING and opening != "\\{":
        return None  # brackets that close before they open
    if (opening == "\\{") != (closing == "\\}") or (opening == "{") != (closing == "}"):
        return None
    return opening, text[first[2]:last[1]].strip(), closing


def _depths(text: str) -> list[tuple[str, int, int, int]]:
    """Every bracket with its place and the depth behind it."""
    depth, found = 0, []
    for match in BRACKET.finditer(text):
        mark = match.group()
        if mark in ("\\{", "\\langle") or (len(mark) == 1 and mark in "([{"):
            depth += 1
        elif mark in ("\\}", "\\rangle") or (len(mark) == 1 and mark in ")]}"):
            depth -= 1
        elif mark == "\\begin":
            depth += 1
        elif mark == "\\end":
            depth -= 1
        else:
            continue
        found.append((mark, match.start(), match.end(), depth))
    return found


def _cut(text: str, separator: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """Cut a text at a separator outside all brackets; the separators come back, too."""
    matches = list(separator.finditer(text))
    if not matches:
        return [text.strip()], []
    depths = _depths(text)
    cuts = []
    for match in matches:
        before = [depth for _, start, _, depth in depths if start < match.start()]
        if not before or before[-1] == 0:
            cuts.append(match)
    edges = [0, *(place for cut in cuts for place in cut.span()), len(text)]
    pieces = [text[start:end].strip() for start, end in list(pairwise(edges))[::2]]
    return pieces, [cut.group().strip() for cut in cuts]


def _both_signs(text: str) -> list[str]:
    r"""`1 \pm x` -> `1 + x` and `1 - x`; several signs each for itself, but not in a tuple or beside a `\mp`."""
    if not (PLUS_MINUS.search(text) or MINUS_PLUS.search(text)) or SET.fullmatch(text):
        return [text]
    count = len(PLUS_MINUS.findall(text))
    if MINUS_PLUS.search(text) or _outer(text) or not 1 < count <= MOST_SIGNS:
        return [PLUS_MINUS.sub(plus, MINUS_PLUS.sub(minus, text)) for plus, minus in ("+-", "-+")]
    terms = PLUS_MINUS.split(text)
    return ["".join(map("".join, zip(terms, (*signs, ""), strict=True))) for signs in product("+-", repeat=count)]


def key(answer: ParsedAnswer) -> str:
    """What two parts that are written alike have in common."""
    return canonical(answer.text)
