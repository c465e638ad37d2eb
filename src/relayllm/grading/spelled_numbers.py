"""Read numbers that are written in words: "twenty-five", "3.5 million", "a dozen eggs"."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from relayllm.grading.units import is_claim

SMALL = {word: value for value, word in enumerate(re.findall(r"\w+",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"))}
TENS = {word: 10 * value for value, word in enumerate(re.findall(r"\w+",
    "twenty thirty forty fifty sixty seventy eighty ninety"), start=2)}
SCALES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
DIGITS = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
WORDS = re.compile(r"(?:a |-?(?=\d))?[\w.,]+(?:[ -]\w+)*", re.ASCII)
AND = re.compile(r"((?:hundred|thousand|million|billion) )and ")
ORDINALS = {"half": 2, "halve": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7,
            "eighth": 8, "ninth": 9, "tenth": 10, "hundredth": 100}
PARTS = re.compile(rf"(?:(.+) and )?(?:(an?|\d+|[a-z]+)[ -])?({'|'.join(ORDINALS)})s?(?: of an? [a-z]+)?",
                   re.IGNORECASE)
"""`a half`, `two thirds`, `one and three quarters`"""
MAX_CHARS = 100


def spelled_number(text: str) -> Fraction | None:
    """The value of a number that has a word in it, with or without what it counts; None for anything else."""
    if sign := re.match(r"(?:negative|minus) (?=[a-z])", text, re.IGNORECASE):
        value = spelled_number(text[sign.end():])
        return None if value is None else -value
    if len(text) > MAX_CHARS or WORDS.fullmatch(text) is None:
        return None
    if found := PARTS.fullmatch(text):
        return _with_parts(*found.groups())
    plain = AND.sub(r"\1", text.casefold().removeprefix("a ").removeprefix("-"))
    words = re.split(r"[ -]", plain)
    count = next((place for place, word in enumerate(words) if not _is_part(word, place)), len(words))
    if is_claim(words[count:]) or not any(word in SMALL or word in TENS or word in SCALES for word in words[:count]):
        return None
    value = _value(words[:count])
    return -value if value is not None and text.startswith("-") else value


def _with_parts(whole: str | None, count: str | None, part: str) -> Fraction | None:
    """The whole, and so many parts of one; a "third" alone is none."""
    values = [Fraction(0) if word is None else Fraction(1) if word.casefold() in ("a", "an")
              else Fraction(word) if word.isdigit() else spelled_number(word) for word in (whole, count)]
    if count is None:
        values[1] = Fraction(1) if part.casefold() == "half" else None
    if values[0] is None or values[1] is None:
        return None
    return values[0] + values[1] / ORDINALS[part.casefold()]


def _is_part(word: str, place: int) -> bool:
    return word in SMALL or word in TENS or word in SCALES or (place == 0 and DIGITS.fullmatch(word) is not None)


def _value(words: list[str]) -> Fraction | None:
    """Tens, then ones, times hundred, times a scale; None where two numbers only stand side by side."""
    total, part = Fraction(0), Fraction(0)
    room: float = math.inf
    for word in words:
        if word in SCALES:
            part, room = (part or Fraction(1)) * SCALES[word], 100
            if SCALES[word] >= 1000:
                total, part = total + part, Fraction(0)
            continue
        value = Fraction(word.replace(",", "") if word[0].isdigit() else SMALL.get(word, TENS.get(word, 0)))
        if value >= room:
            return None
        part, room = part + value, 10 if word in TENS else 0
    return total + part
