"""Compare two plain numbers: percentages, units, tolerance, and the one rule of rounding.

Rounding: a value that no finite decimal has (1/3, pi) may be written as a decimal of at least six significant digits
that is the value rounded at its last digit. 0.333333 is 1/3 and 3.14159 is pi; 0.33 and 3.1416 are not. A value that
has a finite decimal must be given exactly. A benchmark's own tolerance comes on top.
"""

from __future__ import annotations

import re
from fractions import Fraction

from relayllm.grading.normal import canonical, named, number, tidy
from relayllm.grading.units import number_before_symbol, ratio_of_units

SIGNIFICANT = 6
DECIMAL = re.compile(r"[+-]?(\d*)\.(\d+)")


def same_number(gold: str, answer: str, tolerance: float) -> bool | None:
    """Whether two answers are the same number; None unless both are plain numbers.

    A percentage may be written as such, as its number or as its value.
    """
    (name, wanted), (other, found) = named(canonical(gold)), named(canonical(answer))
    right, left = number(wanted), number(number_before_symbol(tidy(answer)) or found)
    if left is None or right is None:
        return None
    if name and other and name != other:
        return False
    ratio = ratio_of_units(tidy(gold), tidy(answer))
    if ratio is None:
        return False
    if close(left * ratio, right, tolerance) or is_rounded(found, right) or is_rounded(wanted, left):
        return True
    if found.endswith("%") == wanted.endswith("%"):
        return False
    return close(left * (100 if found.endswith("%") else Fraction(1, 100)), right, tolerance)


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
