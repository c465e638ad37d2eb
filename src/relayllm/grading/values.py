"""Values as SymPy expressions, and whether two of them are equal. Imports SymPy and latex2sympy: for the worker.

Two expressions are equal when they agree to 25 digits at points drawn for their names: positive points decide, and
points of both signs wherever both sides are real there. So 1/sqrt(n) equals sqrt(1/n), and |x| is not x. A polynomial
or analytic difference that vanishes at every drawn point is as good as impossible, and no simplification is needed.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy
from sympy.core.function import AppliedUndef

from relayllm.grading.spelling import parsable

READING = ConversionConfig(lowercase_symbols=False, interpret_as_mixed_fractions=False)
DIGITS = 30
SAME, NOTHING = sympy.Float("1e-25", DIGITS), sympy.Float("1e-60", DIGITS)
RANGES = ((0.1, 0.9), (0.5, 2.0), (1.0, 4.0), (2.0, 9.0))
"""Where points lie; the first within what square roots of 1 - x^2 need."""
STEPS, FAR = (sympy.floor, sympy.ceiling, sympy.Mod), (20.0, 300.0)
"""Functions in steps differ only over a long way: they are compared at points as far as this, too."""
POINTS = 2 * len(RANGES)

Value = Any
"""A SymPy object."""


@lru_cache(maxsize=4096)
def value_of(text: str, natural: bool = False) -> Value | None:
    r"""One value, read whole; None where it cannot be. A `\log` without a base is to base ten, or `natural`."""
    try:
        found = latex2sympy(parsable(text, natural), is_real=None, convert_degrees=False, normalization_config=None,
                            conversion_config=READING)
    except Exception:  # the parser raises bare ones
        return None
    if isinstance(found, sympy.MatrixBase | sympy.MatrixExpr | sympy.Set):
        found = sympy.sympify(found).doit()
    return _plain(found) if isinstance(found, sympy.Basic) else None


def _plain(value: Value) -> Value:
    """Decimals exact, `i` the imaginary unit, unknown functions as names of their own."""
    names = {each: sympy.Symbol(str(each)) for each in value.atoms(AppliedUndef)}
    decimals = {each: sympy.Rational(str(each)) for each in value.atoms(sympy.Float)}
    unit = {} if value.has(sympy.Sum, sympy.Product) else {sympy.Symbol("i"): sympy.I}
    return value.xreplace({**names, **decimals, **unit}) if names or decimals or value.free_symbols else value


def is_expression(value: Value) -> bool:
    """Whether SymPy's object is an expression with a value, unlike a set or a truth value."""
    return isinstance(value, sympy.Expr) and not isinstance(value, sympy.MatrixExpr)


def are_objects(left: Value, right: Value) -> bool:
    """Whether both are sets, or both are matrices."""
    return any(isinstance(left, kind) and isinstance(right, kind) for kind in (sympy.Set, sympy.MatrixExpr))


def is_number(value: Value) -> bool:
    """Whether an expression holds no symbols."""
    return is_expression(value) and not value.free_symbols


@lru_cache(maxsize=4096)
def at(value: Value, point: int, signed: bool = False) -> Value | None:
    """The value at a point, as a number of thirty digits; None where it has none."""
    names = sorted(value.free_symbols, key=str)
    if value.has(sympy.Sum, sympy.Product, sympy.Integral, sympy.Limit):
        value = value.doit()
    found = value.evalf(DIGITS, subs={name: _coordinate(str(name), point, signed) for name in names}, maxn=300)
    return found if found.is_number and found.is_finite and not found.has(sympy.nan) else None


def _coordinate(name: str, point: int, signed: bool) -> Value:
    drawn = hashlib.sha256(f"{name} {point}".encode()).digest()
    low, high = RANGES[point % len(RANGES)] if point < POINTS else FAR
    size = sympy.Rational(int.from_bytes(drawn[:6], "big"), 2**48) * sympy.Rational(str(high - low)) + sympy.Rational(
        str(low))
    return -size if signed and (drawn[6] + point) % 2 else size


def close(left: Value, right: Value, tolerance: Value = SAME) -> bool:
    """Whether two numbers agree to a relative tolerance; what cancels to less than 1e-60 is nothing."""
    gap, size = abs(left - right), max(abs(left), abs(right))
    return bool(gap <= tolerance * size or size < NOTHING)


def equal(gold: Value, answer: Value) -> bool:
    """Whether two expressions have the same value wherever both have one."""
    if gold == answer:
        return True
    if is_number(gold) and is_number(answer):
        left, right = at(gold, 0), at(answer, 0)
        if left is None or right is None or not close(left, right):
            return False
        exact = gold.is_rational and answer.is_rational  # thirty digits of 2^1009 + 1 are those of 2^1009
        return not exact or bool(gold.doit() == answer.doit())
    return _agree(gold, answer)


def near(gold: Value, answer: Value, tolerance: float) -> bool:
    """Whether two numbers agree to a relative tolerance."""
    if not (is_number(gold) and is_number(answer)):
        return False
    left, right = at(answer, 0), at(gold, 0)
    return left is not None and right is not None and bool(abs(left - right) <= tolerance * abs(right))


def is_within(value: Value, decimal: Fraction, margin: Fraction) -> bool:
    """Whether a number without a finite decimal is as near to a decimal as the margin says."""
    found = at(value, 0) if is_number(value) and not value.is_rational else None
    gap = None if found is None else abs(found - sympy.Rational(decimal.numerator, decimal.denominator))
    return gap is not None and bool(gap <= sympy.Rational(margin.numerator, margin.denominator))


def same_object(gold: Value, answer: Value) -> bool:
    """Whether math-verify finds two sets or statements, each read whole, the same."""
    from math_verify import verify

    return bool(verify(gold, answer, timeout_seconds=None))


def _agree(gold: Value, answer: Value) -> bool:
    """Compare at points; what is real at none of them, without an `i` in it, has no known branch and does not agree."""
    imaginary = gold.has(sympy.I) or answer.has(sympy.I)
    met = 0
    for left, right in _pairs(gold, answer):
        if imaginary or (left.is_real and right.is_real):
            if not close(left, right):
                return False
            met += 1
    return met > 1 and all(close(left, right) for left, right in _pairs(gold, answer, signed=True)
                           if left.is_real and right.is_real)


def _pairs(gold: Value, answer: Value, signed: bool = False) -> list[tuple[Value, Value]]:
    """Both values at the points where both have one."""
    points = POINTS * (3 if gold.has(*STEPS) or answer.has(*STEPS) else 1)
    both = ((at(gold, point, signed), at(answer, point, signed)) for point in range(points))
    return [(left, right) for left, right in both if left is not None and right is not None]


def proportional(gold: Value, answer: Value, positive: bool = False) -> bool:
    """Whether one expression is a constant times the other, as both sides of the same equation are."""
    known = [pair for pair in _pairs(gold, answer) if any(abs(side) > SAME for side in pair)]
    if len(known) < 3 or any(abs(left) <= SAME or abs(right) <= SAME for left, right in known):
        return False
    first = known[0][0] / known[0][1]
    same = all(close(left, first * right) for left, right in known[1:])
    return same and (not positive or bool(first.is_real and first > 0))


def solved_for(name: Value, equation: Value) -> Value | None:
    """The only solution of `equation = 0` for a name."""
    found = sympy.solve(equation, name)
    return found[0] if len(found) == 1 else None
