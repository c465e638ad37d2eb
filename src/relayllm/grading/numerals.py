"""Compare two plain numbers: percentages, units, tolerance, and the one rule of rounding.

Rounding: a value that no finite decimal has (1/3, pi) may be written as a decimal of at least six significant digits
that is the value rounded at its last digit. 0.333333 is 1/3 and 3.14159 is pi; 0.33 and 3.1416 are not. A value that
has a finite decimal must be given exactly. A benchmark's own tolerance comes on top.
"""

from __future__ import annotations

import re
from fractions import Fraction

from relayllm.grading.normal import TEXT, canonical, named, number, tidy
from relayllm.grading.spelled_numbers import spelled_number
from relayllm.grading.units import is_claim, number_before_symbol, ratio_of_units, split

SIGNIFICANT = 6
MONEY = re.compile(r"(?:\$(?!.*\$)|\$?\\\$).*|[^$]*(?P<cents>¢)\$?")
DECIMAL = re.compile(r"[+-]?(\d*)\.(\d+)")
SENTENCE = re.compile(r"((?:[A-Za-z][A-Za-z'-]*[,:]? )+)(-?[$\d]\S*(?: .*)?)")
"""Words with a number behind them, and behind that perhaps what it counts."""
THOUSANDS = re.compile(r"(-?\d[\d,]*(?:\.\d+)?)([kKMB])")
SIZES = {"k": 10**3, "m": 10**6, "b": 10**9}
CHOSEN = re.compile(r"^(?:\\text\s*\{)?\(?[A-E](?:\)|\.\s)\s*\}?\s*(?=\S)")
"""The letter of an option says nothing of the number behind it."""
TWICE = re.compile(r"([^()]+?) ?\(([^()]+)\)")
"""`three (3)`"""
OTHERWISE = frozenset(re.findall(r"\w+",
    "no not never neither nor least most nearly almost under above below beyond within between twice double triple "
    "root cube floor ceiling without except unless cannot impossible instead if whether before after "
    "unknown undetermined maybe perhaps possibly another other per negative times"))
"""Words that make of a number behind them another one, or none."""
MIXED = re.compile(r"(?<=\d) and (?=\d+/\d|\\frac)")
"""`2 and 1/3`"""


def same_number(gold: str, answer: str, tolerance: float) -> bool | None:
    """Whether two answers are the same number; None unless both are plain numbers.

    A percentage may be written as such, as its number or as its value.
    """
    (name, wanted), (other, found) = named(canonical(gold)), named(canonical(answer))
    right, left = _read(wanted, gold, whole=True), _read(found, answer, whole=False)
    if left is None or right is None:
        return None
    if name and other and name != other:
        return False
    ratio = ratio_of_units(with_money(gold), with_money(answer))
    if ratio is None:  # a dollar sign beside degrees is one of mathematics that was not closed
        ratio = ratio_of_units(tidy(gold), tidy(answer))
    if ratio is None:
        return False
    if close(left * ratio, right, tolerance) or is_rounded(found, right) or is_rounded(wanted, left):
        return True
    if found.endswith("%") == wanted.endswith("%"):
        return False
    return close(left * (100 if found.endswith("%") else Fraction(1, 100)), right, tolerance)


def _read(plain: str, answer: str, whole: bool) -> Fraction | None:
    """The number that an answer is, in digits or in words; unless it must be `whole`, also in a sentence."""
    value = number(plain)
    if value is None and not whole:
        answer = CHOSEN.sub("", answer.strip())
        value = number(canonical(number_before_symbol(tidy(answer)) or MIXED.sub(" ", in_words(answer))))
    if value is None and not whole and (found := THOUSANDS.fullmatch(tidy(answer))):
        value = Fraction(found[1].replace(",", "")) * SIZES[found[2].casefold()]
    if value is None:
        value = spelled_number(in_words(answer))
    if value is None and not whole and (twice := TWICE.fullmatch(in_words(answer))):
        values = {_read(canonical(said), said, whole=True) for said in twice.groups()}
        return values.pop() if len(values) == 1 else None
    return _in_sentence(answer) if value is None and not whole else value


def _in_sentence(text: str) -> Fraction | None:
    """12 of "She has 12 apples left": the only number, with words before it that claim nothing else."""
    found = SENTENCE.fullmatch(in_words(text))
    words = re.findall(r"[A-Za-z]+(?:'t)?", found.group(1)) if found else []
    if found is None or is_claim(words) or any(w.casefold() in OTHERWISE or w.endswith("n't") for w in words):
        return None
    return number(canonical(found.group(2)))


def with_money(answer: str) -> str:
    """A tidy answer with the unit that its sign of a currency stands for."""
    sign = MONEY.match(answer.strip()) if split(tidy(answer))[1] == "" else None
    return f"{tidy(answer)} {'cents' if sign and sign['cents'] else 'dollars'}" if sign else tidy(answer)


def in_words(answer: str) -> str:
    """An answer without LaTeX around its words."""
    return " ".join(TEXT.sub(r" \1 ", tidy(answer)).split())


def close(left: Fraction, right: Fraction, tolerance: float) -> bool:
    """Equal, or within a relative tolerance of the gold number."""
    return left == right or (tolerance > 0 and abs(left - right) <= Fraction(tolerance) * abs(right))


def is_rounded(text: str, value: Fraction) -> bool:
    """Whether a decimal is a fraction without a finite decimal, rounded at its last digit."""
    half = half_unit(text)
    decimal = number(text) if half is not None else None
    return half is not None and decimal is not None and not _finite(value) and abs(decimal - value) <= half


def half_unit(text: str) -> Fraction | None:
    """Half a unit in the last place of a decimal with six significant digits; None for anything else."""
    found = DECIMAL.fullmatch(text)
    if found is None or len((found.group(1) + found.group(2)).lstrip("0")) < SIGNIFICANT:
        return None
    return Fraction(1, 2 * 10 ** len(found.group(2)))


def _finite(value: Fraction) -> bool:
    under = value.denominator
    for prime in (2, 5):
        while under % prime == 0:
            under //= prime
    return under == 1
