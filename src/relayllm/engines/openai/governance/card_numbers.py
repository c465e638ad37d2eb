"""Card numbers in a text: 13 to 19 digits with a valid check digit, as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]
LEAST, MOST = 13, 19
PRINTED = 3
"""Digits of a group at least where a number stands in groups; lists of shorter numbers are arithmetic."""
GROUPS = re.compile(r"\d+(?:[\s.\u2010-\u2015-]{1,2}\d+)*")
"""Digits, and groups of them with blanks, dots or dashes between."""


def card_numbers(text: str) -> list[Span]:
    """Where card numbers begin and end; those that overlap are one.

    A number may stand among others, such as its expiry and security code: of the groups side by side all that could be
    one are tried. A part of a group is none.
    """
    spans: list[Span] = []
    for start, stop in sorted(span for run in GROUPS.finditer(text) for span in _candidates(run)
                              if luhn(text[slice(*span)])):
        if spans and start < spans[-1][1]:
            start, stop = spans[-1][0], max(stop, spans.pop()[1])
        spans.append((start, stop))
    return spans


def luhn(text: str) -> bool:
    """Whether the digits of a text are a card number by its check digit."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _candidates(run: re.Match[str]) -> Iterator[Span]:
    """Groups side by side that together have the digits of a card number."""
    groups = [(run.start() + one.start(), run.start() + one.end()) for one in re.finditer(r"\d+", run[0])]
    for first in range(len(groups)):
        digits = 0
        for last in range(first, len(groups)):
            digits += groups[last][1] - groups[last][0]
            if digits > MOST:
                break
            if digits >= LEAST and _as_written(groups, first, last):
                yield groups[first][0], groups[last][1]


def _as_written(groups: list[Span], first: int, last: int) -> bool:
    """Whether a card number is grouped so: printed groups, digit by digit, or in any way where nothing else is near."""
    sizes = {stop - start for start, stop in groups[first:last + 1]}
    return min(sizes) >= PRINTED or max(sizes) == 1 or (first == 0 and last == len(groups) - 1)
