"""Bring answers that differ in typography alone to the same text, and read those that are plain numbers.

What a unit is and how it is dropped: `relayllm.grading.units`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from relayllm.grading.units import without_units

MAX_DIGITS = 400
"""Longer numbers and larger exponents are left to the worker and its time limit."""

PLAIN = re.compile(r"-?\d+")
WRAPPERS = re.compile(r"^(?:\$+(.*?)\$+|\\\((.*)\\\)|\\\[(.*)\\\]|\*\*(.*)\*\*)$", re.DOTALL)
SIZES = re.compile(r"\\(?:left|right|[bB]ig+[lr]?|displaystyle|textstyle|limits|nolimits)(?![A-Za-z])")
FONT = re.compile(r"\\(?:mathbf|boldsymbol|bm|mathit|mathsf|mathcal|mathnormal|pmb|underline)(?![A-Za-z])\s*")
SPACING = re.compile(r"(?<!\\)\\[,;: ]|~|\\(?:q?quad|thinspace)(?![A-Za-z])")
THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\s*\\!|\\,)\s*(?=\d{3}(?!\d))")
ROUND = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})*,000(?:,\d{3})*(?![\d,])")
"""A number with a group of zeros, which is never the next part of a list."""
WHOLE_TEXT = re.compile(r"\\(?:text(?:rm|bf|it|normal)?|math(?:rm|bf)|operatorname|mbox|rm)\s*\{([^{}]*)\}")
TEXT = re.compile(r"\\(?:text(?:rm|bf|it|normal)?|mathrm|operatorname|mbox|rm)\s*\{([^{}]*)\}")
GROUPED = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d{1,3}(?: \d{3})+")
IN_BRACKETS = re.compile(r"\(([^()\[\]{},;]*)\)|\{([^{}]*)\}")
INNER_SPACE = re.compile(r"(?<!\d)\s+|\s+(?!\d)")
PERCENT = re.compile(r"\s*(?:\\%|%|\\text\{\s*percent\s*\}|(?<=\d) *percent)\.?$")
END = re.compile(r"(?<=[\w)}\]%])\s*\.$")
NAMED = re.compile(r"([A-Za-z])(?:_\{?\w\}?)?\s*=\s*([^=]+)")
NUMBER = re.compile(r"([+-]?)(\d*\.?\d+|\d+\.)(?:(?:[eE]|\*10\^|\\times10\^|\\cdot10\^)\{?([+-]?\d+)\}?)?(%?)")
POWER_OF_TEN = re.compile(r"([+-]?)10\^\{?(-?\d+)\}?()")
FRACTION = re.compile(r"([+-]?)(?:\\frac\{([+-]?\d+)\.?\}\{([+-]?\d+)\.?\}|\\frac(\d)(\d)|(\d+)\.?/(\d+)\.?)")
MIXED = re.compile(r"([+-]?)(\d+)(?: (\d+)/(\d+)|\\frac\{(\d+)\}\{(\d+)\}|\\frac(\d)(\d))")
REPEATING = re.compile(r"([+-]?)(\d*)\.(\d*)\\overline\{(\d+)\}")
WORDS = re.compile(r"[A-Za-z]{2,}|(?=.*[A-Za-z]{3})[A-Za-z](?:[' -]?[A-Za-z])+")
"""Letters alone, with hyphens and spaces only where a word is among them: `p - q` and `kx-a` are none."""
SHORT = (("\\dfrac", "\\frac"), ("\\tfrac", "\\frac"), ("\\cfrac", "\\frac"), ("\\!", ""), ("\\%", "%"), ("\\$", ""),
         ("$", ""), ("−", "-"), ("–", "-"), ("×", "\\times "), ("÷", "\\div "), ("π", "\\pi "), ("∞", "\\infty "),
         ("≤", "\\le "), ("≥", "\\ge "), ("<=", "\\le "), (">=", "\\ge "), ("≠", "\\ne "),
         ("\\varnothing", "\\emptyset"), ("\\lbrace", "\\{"), ("\\rbrace", "\\}"), ("\\{,", "\\{"))
TIMES = re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)")
SAME_SIGN = re.compile(r"\\(le|ge|ne)(?:q|qslant)(?![A-Za-z])")


@lru_cache(maxsize=4096)
def canonical(answer: str) -> str:
    """The answer without what changes its look alone: wrappers, sizes, spacing, units, currency, separators."""
    text = answer.strip()
    if PLAIN.fullmatch(text):
        return text
    text = TEXT.sub(r" \1 ", without_units(tidy(text))).strip()
    text = _bare(END.sub("", text))
    if GROUPED.fullmatch(text):
        return re.sub(r"[, ]", "", text)
    return text if WORDS.fullmatch(text) else INNER_SPACE.sub("", text)


@lru_cache(maxsize=4096)
def tidy(answer: str) -> str:
    """The answer in one spelling of LaTeX, its words, spaces and units still in place."""
    text = _unwrapped(SIZES.sub("", answer.strip()))
    text = SPACING.sub(" ", THOUSANDS.sub("", FONT.sub("", text)))
    text = ROUND.sub(lambda found: found.group().replace(",", ""), text)
    for long, short in SHORT:
        text = text.replace(long, short)
    text = TIMES.sub(r"\\times ", SAME_SIGN.sub(r"\\\1", text))
    text = re.sub(r"^[€£]|[€£]$", "", text.strip()).strip()
    text = PERCENT.sub("%", END.sub("", text.rstrip("\\ ")))
    whole = WHOLE_TEXT.fullmatch(text)
    return _bare(END.sub("", whole.group(1).strip()) if whole else text)


def number(text: str) -> Fraction | None:
    """The value of a canonical answer that is a plain, mixed or decimal number; None for anything else."""
    if len(text) > MAX_DIGITS:
        return None
    if PLAIN.fullmatch(text):
        return Fraction(int(text))
    if found := NUMBER.fullmatch(text):
        return _decimal(*found.groups())
    if found := POWER_OF_TEN.fullmatch(text):
        return _decimal(found.group(1), "1", found.group(2), "")
    if found := FRACTION.fullmatch(text):
        return _fraction(found)
    if found := MIXED.fullmatch(text):
        return _mixed(found)
    found = REPEATING.fullmatch(text)
    return _repeating(*found.groups()) if found else None


def named(text: str) -> tuple[str, str]:
    """`x=5` -> `x` and `5`: an answer may name what it found."""
    found = NAMED.fullmatch(text)
    return (found.group(1), found.group(2).strip()) if found else ("", text)


def is_words(text: str) -> bool:
    """Whether a canonical answer is words: a parser would read them as products of letters, "no" equal to "on"."""
    return WORDS.fullmatch(text) is not None


def _unwrapped(text: str) -> str:
    found = WRAPPERS.fullmatch(text.strip())
    return next((part for part in found.groups() if part is not None), "").strip() if found else text.strip()


def _bare(text: str) -> str:
    """`(73)` -> `73`, when the brackets hold one thing."""
    found = IN_BRACKETS.fullmatch(text)
    return (found.group(1) if found.group(1) is not None else found.group(2)).strip() if found else text


def _decimal(sign: str, digits: str, exponent: str | None, percent: str) -> Fraction | None:
    power = int(exponent or 0)
    if abs(power) > MAX_DIGITS:
        return None
    value = Fraction(digits.rstrip(".") or "0") * Fraction(10) ** power
    return (-value if sign == "-" else value) / (100 if percent else 1)


def _fraction(found: re.Match[str]) -> Fraction | None:
    over, under = (int(part) for part in found.groups()[1:] if part is not None)
    return None if under == 0 else Fraction(over, under) * (-1 if found.group(1) == "-" else 1)


def _repeating(sign: str, whole: str, before: str, period: str) -> Fraction:
    r"""`0.1\overline{6}` -> 1/6."""
    start = Fraction(int(whole + before or 0), 10 ** len(before))
    value = start + Fraction(int(period), 10 ** len(before) * (10 ** len(period) - 1))
    return -value if sign == "-" else value


def _mixed(found: re.Match[str]) -> Fraction | None:
    whole, over, under = (int(part) for part in found.groups()[1:] if part is not None)
    return None if under == 0 else (whole + Fraction(over, under)) * (-1 if found.group(1) == "-" else 1)
