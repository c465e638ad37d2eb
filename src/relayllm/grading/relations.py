r"""Equations, names and inequalities: `m_{\max} = n^2` says n^2, and the line `x + y = 5` does not say 5.

A gold answer loses its name only where the name is one: a symbol, a function of symbols, a derivative. An answer may
put any letters before its value ("m + n = 73"), and a chain of values must be true.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from relayllm.grading import spelling
from relayllm.grading.normal import canonical, is_words
from relayllm.grading.structure import Kind, ParsedAnswer

ONE_NAME = re.compile(rf"(?:{spelling.NAME})\s*(?:\([^()\d]*\))?|m?\s*\\angle\s*(?:[A-Z](?:{spelling.INDEX})?\s*)+")
BASE = re.compile(r"\\?[A-Za-z]+")
WITHOUT_DIGITS = re.compile(rf"{spelling.INDEX}|\^\s*(?:\{{[^{{}}]*\}}|\w)|[A-Za-z]\([^()]*\)")
PROSE = re.compile(r"(?<![\\A-Za-z])(?!(?:sin|cos|tan|log|exp)\b)[a-z]{3,}\s+[a-z]{2,}(?![A-Za-z])")
INDEXED = re.compile(r"_\d+$")
EQUAL, ABOUT = ("=", "\\in", "\\equiv"), ("\\approx", "\\simeq", "\\sim", "≈")
TURNED = {"<": ">", "\\le": "\\ge"}
NEAR = 0.01
"""How far a value may be from what it is said to be about, and be meant as well."""
FAR = 0.1
"""How far it may be and the other still be true."""
Alike = Callable[[ParsedAnswer, ParsedAnswer], bool]


def is_name(text: str) -> bool:
    """Whether a text is one symbol, one function of symbols or one derivative."""
    return ONE_NAME.fullmatch(text) is not None or spelling.DERIVATIVE.fullmatch(text) is not None or is_words(
        canonical(text))


def value_named(relation: ParsedAnswer) -> ParsedAnswer | None:
    """What a gold answer says of a name; None: it is an equation or an inequality."""
    if set(relation.marks) <= set(EQUAL) and (is_name(relation.parts[0].text) or _is_tuple_of_names(relation.parts[0])):
        return relation.parts[-1]
    return None


def values_named(answer: ParsedAnswer) -> dict[str, ParsedAnswer]:
    """Name -> value of `x=3, y=4` and of `(x,y)=(3,4)`; nothing: it has not a name of its own for each value."""
    if answer.kind is Kind.RELATION and answer.marks == ("=",) and _is_tuple_of_names(answer.parts[0]):
        names, values = (part.parts for part in answer.parts)
    elif answer.kind is Kind.LIST and all(each.marks == ("=",) and is_name(each.parts[0].text)
                                          for each in answer.parts):
        names, values = zip(*(part.parts for part in answer.parts), strict=True)
    else:
        return {}
    found = {spelling.plain_name(name.text): value for name, value in zip(names, values, strict=False)}
    return found if len(found) == len(names) == len(values) else {}


def repeats_a_name(answer: ParsedAnswer) -> bool:
    """Whether two values of a list have one name: `x=2, x=3`."""
    names = [part.parts[0].text for part in answer.parts if part.marks == ("=",)]
    return answer.kind is Kind.LIST and len({*names}) < len(names)


def in_order(named: dict[str, ParsedAnswer]) -> list[ParsedAnswer]:
    """Values as a tuple of them stands: by neighbouring letters (x, y, z) or indices, else as they are written."""
    names = sorted(named, key=lambda name: (len(name), name))
    letters = all(len(name) == 1 for name in names) and ord(names[-1]) - ord(names[0]) == len(names) - 1
    indexed = len({INDEXED.sub("", name) for name in names}) == 1 and all(map(INDEXED.search, names))
    return [named[name] for name in (names if letters or indexed else named)]


def claims(relation: ParsedAnswer, alike: Alike) -> list[ParsedAnswer]:
    """The values that an answer gives, exact and approximate; none when it is no value or not true."""
    if not set(relation.marks) <= {*EQUAL, *ABOUT}:
        return []
    first_about = next((place for place, mark in enumerate(relation.marks) if mark in ABOUT), len(relation.marks))
    exact, about = list(relation.parts[:first_about + 1]), list(relation.parts[first_about + 1:])
    if len(exact) > 1 and is_name(exact[-1].text) and not is_name(exact[0].text):
        exact.reverse()  # 5 = x
    value, said = exact[-1], exact[:-1]
    if not all(_is_naming(part) or alike(value, part) for part in said):
        return []
    if about and _is_naming(value):
        return about[-1:]
    if not all(_is_about(value, part, FAR) for part in about):
        return []
    return [value, *(part for part in about if _is_about(value, part, NEAR))]


def same(gold: ParsedAnswer, answer: ParsedAnswer, alike: Alike) -> bool:
    """Whether two relations say the same: of the same name the same value, or one the multiple of the other."""
    value = value_named(gold)
    if value is not None and _is_same_name(gold.parts[0].text, answer.parts[0].text):
        return any(alike(value, claim) for claim in claims(answer, alike))
    if len(gold.marks) != 1 or len(answer.marks) != 1:
        return False
    return _same_sides(gold, answer, value is not None)


def _same_sides(gold: ParsedAnswer, answer: ParsedAnswer, named: bool) -> bool:
    from relayllm.grading import values

    wanted, found = _difference(gold), _difference(answer)
    if wanted is None or found is None or wanted[0] != found[0]:
        return False
    if values.proportional(wanted[1], found[1], positive=wanted[0] not in ("=", "\\ne")):
        return True
    if not named or wanted[0] != "=":
        return False
    name, value = (values.value_of(part.text) for part in gold.parts)
    solved = values.solved_for(name, found[1]) if name in found[1].free_symbols else None
    return solved is not None and values.equal(value, solved)


def _difference(relation: ParsedAnswer) -> tuple[str, Any] | None:
    """One side minus the other, with the sign turned to "less than"."""
    from relayllm.grading import values

    left, right = (values.value_of(part.text) if part.kind is Kind.VALUE else None for part in relation.parts)
    if left is None or right is None or not (values.is_expression(left) and values.is_expression(right)):
        return None
    mark = relation.marks[0]
    turned = {greater: less for less, greater in TURNED.items()}
    return (turned[mark], right - left) if mark in turned else (mark, left - right)


def _is_naming(part: ParsedAnswer) -> bool:
    """Letters alone, as before a value: `m + n`, `f(1)`, `a^2`; a number in it makes it an equation."""
    if part.kind is Kind.TUPLE:
        return all(map(_is_naming, part.parts))
    letters = re.search(r"[A-Za-z]", re.sub(r"\\pi(?![A-Za-z])", "", part.text)) is not None
    number = re.search(r"\d", WITHOUT_DIGITS.sub("", part.text)) is not None
    return part.kind is Kind.VALUE and letters and not number and not part.text.startswith("-")


def _is_tuple_of_names(part: ParsedAnswer) -> bool:
    return part.kind is Kind.TUPLE and all(is_name(each.text) for each in part.parts)


def _is_about(value: ParsedAnswer, part: ParsedAnswer, share: float) -> bool:
    from relayllm.grading import values

    wanted, found = values.value_of(value.text), values.value_of(part.text)
    return wanted is not None and found is not None and values.near(wanted, found, share)


def _is_same_name(gold: str, answer: str) -> bool:
    r"""Whether two names are one: either may leave out its index and what it depends on, `m` and `m_{\max}`."""
    if not is_name(answer):
        return False
    if spelling.symbol(gold) == spelling.symbol(answer):
        return True
    base = BASE.match(gold)
    return base is not None and answer.startswith(base.group()) and base.group() in (gold.strip(), answer.strip())
