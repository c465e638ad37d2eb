"""Whether two answers mean the same, part by part. For the worker: what it calls imports SymPy.

A list without brackets, a set and a union have no order, a list counts its repetitions, a tuple has an order and its
brackets. An answer of several values is right only when each of them is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

from relayllm.grading import relations, spelling
from relayllm.grading.normal import GROUPED, canonical, is_words, tidy
from relayllm.grading.numerals import half_unit
from relayllm.grading.plain import same_plain
from relayllm.grading.structure import Kind, ParsedAnswer, between, interval_of, key, listed, name_of, read
from relayllm.grading.units import DEGREES, TRIGONOMETRIC

UNORDERED = (Kind.LIST, Kind.SET, Kind.UNION)
MAX_WORDS = 3
"""A part of an answer with more words than that is prose."""
RATIO = re.compile(r"\d+(?:\.\d+)?(?::\d+(?:\.\d+)?)+")
"""A ratio or a time of the day, compared as a text."""
POINT = re.compile(r"[A-Z]\s*\(")
"""`P(2,1)`"""
Parsed = Sequence[ParsedAnswer]


def same(gold: str, answer: str, tolerance: float = 0.0) -> bool:
    """Whether an answer equals the gold answer; numbers to a relative tolerance."""
    return _same(read(gold), read(answer), tolerance)


def _same(gold: ParsedAnswer, answer: ParsedAnswer, tolerance: float) -> bool:
    if key(gold) == key(answer):
        return True
    if (decided := _same_names(gold, answer, tolerance)) is not None:
        return decided
    if gold.kind is Kind.TUPLE and answer.kind is Kind.VALUE and POINT.match(answer.text):
        answer = read(answer.text[1:])
    if Kind.TUPLE in (interval_of(gold).kind, interval_of(answer).kind):
        gold, answer = between(gold), between(answer)
    if Kind.RELATION in (gold.kind, answer.kind):
        return _same_with_relation(gold, answer, tolerance)
    gold, answer = _as_list(gold, answer), _as_list(answer, gold)
    if Kind.VALUE is gold.kind is answer.kind:
        return _same_value(gold.text, answer.text, tolerance)
    return _same_parts(gold, answer, tolerance)


def _same_names(gold: ParsedAnswer, answer: ParsedAnswer, tolerance: float) -> bool | None:
    """Several values with a name each, in any order; without names they stand in the order of the others' names."""
    wanted, found = relations.values_named(gold), relations.values_named(answer)
    if wanted and found and wanted.keys() == found.keys():
        return all(_same(wanted[name], found[name], tolerance) for name in wanted)
    if wanted and not found and answer.kind in (Kind.LIST, Kind.TUPLE) and not any(
            part.kind is Kind.RELATION for part in answer.parts):
        return _in_order([*wanted.values()], answer.parts, lambda one, other: _same(one, other, tolerance))
    if gold.kind is Kind.TUPLE and relations.repeats_a_name(answer):
        return False
    if found and gold.kind is Kind.TUPLE:
        return _in_order(gold.parts, relations.in_order(found), lambda one, other: _same(one, other, tolerance))
    return None


def _same_with_relation(gold: ParsedAnswer, answer: ParsedAnswer, tolerance: float) -> bool:
    """An inequality is an interval, a name before a value is left out, and an equation is compared as such."""
    names = name_of(gold), name_of(answer)
    wanted, found = interval_of(gold), interval_of(answer)
    if (wanted.kind, found.kind) != (gold.kind, answer.kind):
        return (None in names or names[0] == names[1]) and _same(wanted, found, tolerance)

    def alike(left: ParsedAnswer, right: ParsedAnswer) -> bool:
        return _same(left, right, tolerance)

    if gold.kind is answer.kind:
        return relations.same(gold, answer, alike)
    if gold.kind is Kind.RELATION:
        value = relations.value_named(gold)
        return value is not None and alike(value, answer)
    if answer.kind is Kind.RELATION:
        return any(alike(gold, claim) for claim in relations.claims(answer, alike))
    return False


def _same_parts(gold: ParsedAnswer, answer: ParsedAnswer, tolerance: float) -> bool:
    def alike(left: ParsedAnswer, right: ParsedAnswer) -> bool:
        return _same(left, right, tolerance)

    if gold.kind in UNORDERED and answer.kind in (*UNORDERED, Kind.TUPLE):
        if answer.kind is Kind.TUPLE and (gold.kind is not Kind.LIST or not _is_sequence(answer)):
            return False
        once = gold.kind is Kind.LIST or (answer.kind is Kind.LIST and gold.kind is not Kind.SET)
        return _matched(gold.parts, answer.parts, alike, repeated=once)
    if gold.kind is Kind.TUPLE and answer.kind is Kind.TUPLE:
        return _same_brackets(gold, answer) and _in_order(gold.parts, answer.parts, alike)
    if gold.kind is Kind.MATRIX and answer.kind is Kind.MATRIX:
        return gold.marks == answer.marks and _in_order(gold.parts, answer.parts, alike)
    if gold.kind in (Kind.TUPLE, Kind.MATRIX) and answer.kind in (Kind.TUPLE, Kind.MATRIX, Kind.LIST):
        return _is_sequence(gold) and _is_sequence(answer) and _in_order(gold.parts, answer.parts, alike)
    if gold.kind is Kind.SET and len(gold.parts) == 1:
        return alike(gold.parts[0], answer)
    kinds = {gold.kind, answer.kind}
    if Kind.VALUE in kinds and Kind.LIST not in kinds and _same_objects(gold, answer):
        return True
    if answer.kind in (Kind.LIST, Kind.SET):  # "1/2, or 0.5": right when each of them is
        return bool(answer.parts) and all(alike(gold, part) for part in answer.parts)
    return False


def _same_objects(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    r"""Sets or matrices, one written in another way: `\mathbb{R} \setminus \{0\}` and a union of intervals."""
    from relayllm.grading import values

    wanted, found = (values.value_of(each.text) for each in (gold, answer))
    return wanted is not None and found is not None and values.are_objects(wanted, found) and values.same_object(
        wanted, found)


def _is_sequence(answer: ParsedAnswer) -> bool:
    """Values in an order, rather than an interval: round brackets, one row or column, three values or more."""
    if answer.kind is Kind.MATRIX:
        return answer.marks[0] in ("1", str(len(answer.parts)))
    if answer.kind is Kind.LIST or answer.marks == ("(", ")"):
        return True
    return answer.marks == ("[", "]") and len(answer.parts) > 2


def _same_brackets(gold: ParsedAnswer, answer: ParsedAnswer) -> bool:
    return gold.marks == answer.marks or (_is_sequence(gold) and _is_sequence(answer))


def _in_order(gold: Parsed, answer: Parsed, alike: Callable[[ParsedAnswer, ParsedAnswer], bool]) -> bool:
    return len(gold) == len(answer) and all(map(alike, gold, answer))


def _matched(gold: Parsed, answer: Parsed, alike: Callable[[ParsedAnswer, ParsedAnswer], bool], repeated: bool) -> bool:
    """Whether every part has its own counterpart, or where repetitions do not count, any."""
    if not repeated:
        return all(any(alike(one, other) for other in answer) for one in gold) and all(
            any(alike(one, other) for one in gold) for other in answer)
    left = list(answer)
    for one in gold:
        place = next((index for index, other in enumerate(left) if alike(one, other)), None)
        if place is None:
            return False
        del left[place]
    return not left


def _as_list(answer: ParsedAnswer, other: ParsedAnswer) -> ParsedAnswer:
    """`100,200` is a number or two of them: read as the other answer is."""
    if answer.kind is Kind.VALUE and other.kind in (Kind.LIST, Kind.TUPLE, Kind.SET) and GROUPED.fullmatch(answer.text):
        return replace(answer, kind=Kind.LIST, parts=tuple(map(read, listed(answer.text, always=True))))
    return answer


def _same_value(gold: str, answer: str, tolerance: float) -> bool:
    decided = same_plain(gold, answer, tolerance)
    if decided is not None:
        return decided
    plain, found = canonical(gold), canonical(answer)
    if is_words(plain):
        return plain.casefold() == found.casefold()
    if "log" in gold or "log" in answer:
        return _same_read(gold, answer, tolerance, natural=False) or _same_read(gold, answer, tolerance, natural=True)
    return _same_read(gold, answer, tolerance, natural=False)


def _same_read(gold: str, answer: str, tolerance: float, natural: bool) -> bool:
    from relayllm.grading import values

    left, right = (values.value_of(each, natural) for each in _same_angles(tidy(gold), tidy(answer)))
    if left is None or right is None:
        return False
    if values.is_number(left) and spelling.has_words(answer):
        return False  # as a product of letters, "at least 0" is nought
    if not (values.is_expression(left) and values.is_expression(right)):
        return values.same_object(left, right)
    if values.equal(left, right) or (tolerance > 0 and values.near(left, right, tolerance)):
        return True
    return _rounded(canonical(answer), left) or _rounded(canonical(gold), right)


def _same_angles(gold: str, answer: str) -> tuple[str, str]:
    r"""Degrees in radians, where the other answer has a `\pi` and neither is a function of an angle."""
    if TRIGONOMETRIC.search(gold + answer):
        return gold, answer

    def radians(text: str, other: str) -> str:
        return rf"\frac{{\pi}}{{180}}({DEGREES.sub('', text)})" if DEGREES.search(text) and "\\pi" in other else text

    return radians(gold, answer), radians(answer, gold)


def _rounded(text: str, value: object) -> bool:
    """Whether a decimal is an irrational number, rounded at its last digit."""
    from relayllm.grading import values

    half = half_unit(text)
    return half is not None and values.is_within(value, Fraction(text), half)


def fault_of(answer: ParsedAnswer) -> str | None:
    """Why an answer cannot be compared; None when every part of it can be read."""
    from relayllm.grading import values

    if answer.kind is not Kind.VALUE:
        return next((fault for part in answer.parts if (fault := fault_of(part))), None)
    text = canonical(answer.text)
    if relations.PROSE.search(answer.text) and not (is_words(text) and text.count(" ") < MAX_WORDS):
        return f"{answer.text!r:.60} holds words"
    if same_plain(text, text, 0.0) or relations.is_name(answer.text):
        return None
    if RATIO.fullmatch(text):
        return None
    return None if values.value_of(answer.text) is not None else f"{answer.text!r:.60} is no whole expression"
