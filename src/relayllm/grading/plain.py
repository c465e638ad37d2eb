"""Compare answers that need no SymPy: times of the day, dates, measures in several units, numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from relayllm.grading.normal import MAX_DIGITS, PLAIN, canonical, number
from relayllm.grading.numerals import close, in_words, same_number, with_money
from relayllm.grading.units import Dimension, dimension, split

LETTER = re.compile(r"[A-Za-z-]")
CLOCK = re.compile(r"(\d{1,2})(?::(\d\d))?\s*(?:([ap])\.?\s*m\.?)?", re.IGNORECASE)
HALF_DAY = 12 * 60
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")
_MONTH = rf"(?P<month>{'|'.join(f'{month[:3]}(?:{month[3:]})?' for month in MONTHS)}|sept)\.?"
_DAY = r"(?:the )?(?P<day>\d{1,2})(?:\s*(?:st|nd|rd|th)\b|\^\{?(?:st|nd|rd|th)\}?)?"
_YEAR, _WEEKDAY = r"(?P<year>\d{4})", r"(?:(?:on )?(?P<weekday>[a-z]{3,6}day),? )?"
DATES = tuple(re.compile(form, re.IGNORECASE) for form in (
    rf"{_WEEKDAY}{_MONTH} {_DAY}(?:,? {_YEAR})?", rf"{_WEEKDAY}{_DAY}(?: of)? {_MONTH}(?:,? {_YEAR})?",
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"))
"""Not `3/5/2024`, which has two readings."""
AMOUNT = re.compile(r"(\d[\d,]*(?:\.\d+)?|\d+/\d+)\s*([A-Za-z]+)\.?(?:(?:,| and|, and)? *(?=\d)|$)")


def same_plain(gold: str, answer: str, tolerance: float) -> bool | None:
    """Whether two answers are the same time, date, measure or number; None unless both are one of these."""
    if PLAIN.fullmatch(gold) and PLAIN.fullmatch(answer) and len(gold + answer) < MAX_DIGITS:
        return close(Fraction(answer), Fraction(gold), tolerance)
    for same in (same_clock, same_date, same_measure) if LETTER.search(gold + answer) else ():
        if (decided := same(gold, answer)) is not None:
            return decided
    return same_number(gold, answer, tolerance)


def same_clock(gold: str, answer: str) -> bool | None:
    """Whether two answers are the same time of day; None unless both are, and one says which half of the day.

    "10:30 AM" is "10:30 a.m.", "2:30 p.m." is "14:30", and "10:30 a.m." may be 10:30.
    """
    times = [CLOCK.fullmatch(in_words(each)) for each in (gold, answer)]
    if times[0] is None or times[1] is None or not any(time[3] for time in times if time):
        return None
    minutes = [60 * int(time[1]) + int(time[2] or 0) for time in times if time]
    halves = {time[3].casefold() if time[3] else "p" if int(time[1]) > 12 else None for time in times if time} - {None}
    return len(halves) == 1 and (minutes[0] - minutes[1]) % HALF_DAY == 0


@dataclass(frozen=True, slots=True)
class _Date:
    month: int
    day: int
    year: str | None
    weekday: str | None


def same_date(gold: str, answer: str) -> bool | None:
    """Whether two answers are the same day; None unless both are dates. An answer may add year and day of the week.

    "March 5" is "5th of March" and "March 5, 2024" is "2024-03-05".
    """
    wanted, found = _date(gold), _date(answer)
    if wanted is None or found is None:
        return None
    return (wanted.month, wanted.day) == (found.month, found.day) and all(
        said in (None, other) for said, other in ((wanted.year, found.year), (wanted.weekday, found.weekday)))


def _date(answer: str) -> _Date | None:
    text = in_words(answer)
    found = next((found for form in DATES if (found := form.fullmatch(text))), None)
    if found is None:
        return None
    parts = found.groupdict()
    month = parts["month"].casefold()
    named = next((place for place, name in enumerate(MONTHS, start=1) if name.startswith(month[:3])), 0)
    weekday = parts.get("weekday")
    return _Date(named or int(month), int(parts["day"]), parts["year"], weekday and weekday.casefold())


def same_measure(gold: str, answer: str) -> bool | None:
    """Whether "2 hours 30 minutes" is what the other answer says in units of its own; None: neither has several units.

    Dollars and cents may stand for a gold answer without a unit, which are dollars.
    """
    wanted, found = _measure(gold), _measure(answer)
    if wanted is None or found is None or max(wanted.units, found.units) < 2:
        return None
    if wanted.units == 0 and found.dimension == DOLLARS:
        return wanted.size == found.size
    return None if 0 in (wanted.units, found.units) else (wanted.dimension, wanted.size) == (
        found.dimension, found.size)


DOLLARS = (("money", 1),)


@dataclass(frozen=True, slots=True)
class _Measure:
    size: Fraction
    dimension: Dimension
    units: int


def _measure(answer: str) -> _Measure | None:
    """A number with as many units as it has: none, one, or several of one dimension, the largest first."""
    text = in_words(answer)
    amounts, end = [], 0
    while (found := AMOUNT.match(text, end)) and found.end() > end:
        amounts.append(found.groups())
        end = found.end()
    if end < len(text) or len(amounts) < 2:
        count, unit = split(with_money(answer))
        value, one = number(canonical(count)), dimension(unit) or ((), Fraction(1))
        return None if value is None else _Measure(value * one[1], one[0], int(bool(one[0])))
    units = [dimension(_minutes(unit, amounts[0][1])) for _, unit in amounts]
    values = [number(canonical(count)) for count, _ in amounts]
    if None in units or None in values:
        return None
    sizes = [unit[1] for unit in units if unit is not None]
    kinds = {unit[0] for unit in units if unit is not None}
    if len(kinds) > 1 or sizes != sorted(set(sizes), reverse=True):
        return None
    return _Measure(sum((value * size for value, size in zip(values, sizes, strict=True) if value is not None),
                        Fraction(0)), kinds.pop(), len(units))


def _minutes(unit: str, first: str) -> str:
    """The m of `2h 30m` is no metre."""
    return "min" if unit == "m" and first in ("h", "hr", "hrs", "hour", "hours") else unit
