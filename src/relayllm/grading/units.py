r"""Tell what a number counts from what changes its value: `5 \text{ cm}` is 5, `18 over three` is not 18.

Units are dropped, as math-verify and the harnesses of the paper's benchmarks do: a gold answer seldom names one. Only
where both answers name a unit of the table below are they compared, by its size: 5 cm is 0.05 m and not 5 km.
"""

from __future__ import annotations

import re
from fractions import Fraction

TEXT_UNIT = re.compile(r"(?:(?<=[\d})%])|(?<=\\pi))\s*"
                       r"((?:\\(?:text|mathrm|mbox|operatorname|rm)\s*\{(?:[^{}]|\{[^{}]*\})*\}"
                       r"(?:\^\{?-?\d\}?)?[\s/.*]*(?:\\cdot\s*)?)+)$")
POWER = r"\s*\^\{?-?\d\}?"
NUMBER = (r"-?(?:[\d.,/]*\d(?:[eE][+-]?\d+|\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*(?:\{[+-]?\d+\}|\d+))?|\d+ \d+/\d+"
          r"|\\frac\s*(?:\{\d+\}\{\d+\}|\d\s*\d)|(?:\d+|\\frac\s*\{\d+\}\{\d+\})?\s*\\pi(?:/\d+)?)")
WORD_UNIT = re.compile(rf"(?P<number>{NUMBER})\s+(?P<bracket>\()?(?P<unit>(?:[A-Za-z]{{3,}}|o'clock|"
                       r"[A-Za-z]+/[A-Za-z]+|(?i:cm|mm|km|kg|mg|ml|ms|hz|nm|ev|ft|in|yd|mi|oz|lb|hr|am|pm|of))"
                       rf"(?:[ /][A-Za-z]+)*(?:{POWER})?\.?)(?(bracket)\))")
"""Two letters alone are a product unless they are known: `5 ab` is not 5."""
LETTER_UNIT = re.compile(rf"(?P<number>{NUMBER})(?P<unit>(?:cm|mm|km|kg|mg|ml|mL|min|sec|ms|Hz|kHz|nm|eV|keV|MeV|mph|"
                         rf"lbs?|oz|g|L|st|nd|rd|th|\^\{{?(?:\\text\s*\{{)?(?:st|nd|rd|th)\}}{{0,2}})(?:{POWER})?)")
SYMBOL_UNIT = re.compile(rf"({NUMBER})(?P<unit>(?:\s+[mshgJNWVKLAC]|[msh])(?:{POWER})?(?:/[a-z]+(?:{POWER})?)?)")
FRACTION_UNIT = re.compile(rf"({NUMBER})\s*\\frac\s*(?:\{{\s*\\(?:text|mathrm)\s*\{{[^{{}}]*\}}\s*\}}\s*){{2}}")
DEGREES = re.compile(r"(?:\^\s*\{?\s*\\circ\s*\}?|°|\\degree(?![A-Za-z]))(?:\s*[CF]$)?"
                     r"|(?<=[\d})])\s*(?:degrees?\b|\\text\s*\{\s*degrees?\s*\})")
TRIGONOMETRIC = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
NO_UNIT = frozenset(re.findall(r"\w+",
    "pi sqrt and or mod thousand million billion trillion hundred dozen over out to not plus minus divided "
    "multiplied squared cubed than half halves third thirds quarter quarters fourth fourths fifth fifths sixth sixths "
    "one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty sin cos tan log ln exp "
    "most least if when where for choose modulo factorial wrong incorrect i e x y z n"))
"""Words that change a value, or make a claim of their own."""

Dimension = tuple[tuple[str, int], ...]
"""Base quantities, each with its power: a speed is `(("length", 1), ("time", -1))`."""
_LENGTH, _MASS, _TIME, _MONTHS, _MONEY = (((name, 1),) for name in ("length", "mass", "time", "months", "money"))
_VOLUME, _SPEED = (("length", 3),), (("length", 1), ("time", -1))
_SCALES = {"C": "celsius", "F": "fahrenheit"}
_TURN, _RADIAN, _CELSIUS, _FAHRENHEIT = (((name, 1),) for name in ("turn", "radian", "celsius", "fahrenheit"))
UNITS: dict[str, tuple[Dimension, Fraction]] = {
    spelling: (kind, Fraction(size)) for spellings, kind, size in (
        ("nm nanometer nanometre", _LENGTH, "1e-9"), ("mm millimeter millimetre", _LENGTH, "0.001"),
        ("cm centimeter centimetre", _LENGTH, "0.01"), ("m meter metre", _LENGTH, "1"),
        ("km kilometer kilometre", _LENGTH, "1000"), ("in inch inche", _LENGTH, "0.0254"),
        ("ft foot feet", _LENGTH, "0.3048"), ("yd yard", _LENGTH, "0.9144"), ("mi mile", _LENGTH, "1609.344"),
        ("mg milligram", _MASS, "1e-6"), ("g gram", _MASS, "0.001"), ("kg kilogram", _MASS, "1"),
        ("oz ounce", _MASS, "0.028349523125"), ("lb pound", _MASS, "0.45359237"), ("ton", _MASS, "907.18474"),
        ("ms millisecond", _TIME, "0.001"), ("s sec second", _TIME, "1"), ("min minute", _TIME, "60"),
        ("h hr hour", _TIME, "3600"), ("day", _TIME, "86400"), ("week", _TIME, "604800"),
        ("month", _MONTHS, "1"), ("yr year", _MONTHS, "12"), ("decade", _MONTHS, "120"),
        ("ml milliliter millilitre", _VOLUME, "1e-6"), ("l liter litre", _VOLUME, "0.001"),
        ("gallon", _VOLUME, "0.003785411784"), ("quart", _VOLUME, "0.000946352946"),
        ("pint", _VOLUME, "0.000473176473"), ("cup", _VOLUME, "0.0002365882365"),
        ("dollar", _MONEY, "1"), ("cent", _MONEY, "0.01"),
        ("mph", _SPEED, "0.44704"), ("kph", _SPEED, "5/18"),
        ("degree", _TURN, "1"), ("rad radian", _RADIAN, "1"), ("celsius", _CELSIUS, "1"),
        ("fahrenheit", _FAHRENHEIT, "1"),
    ) for spelling in spellings.split()}
"""Spelling in the singular -> dimension and size. A degree is no exact number of radians, a month none of days."""
POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
DEGREES_OF = re.compile(r"degrees? (?=celsius|fahrenheit)")
UNIT_TOKEN = re.compile(r"[A-Za-z]+|/|\^-?\d")


def without_units(text: str) -> str:
    """A tidy answer without the degrees or the unit behind it."""
    return split(text)[0]


def number_before_symbol(text: str) -> str | None:
    """`5` of "5 m": a letter is a unit only for those who know that the gold answer has no letters."""
    found = SYMBOL_UNIT.fullmatch(text) or FRACTION_UNIT.fullmatch(text)
    return found.group(1) if found else None


def ratio_of_units(gold: str, answer: str) -> Fraction | None:
    """How many of the gold answer's unit one of the other's is; 1 unless both name a unit of the table.

    None: they name units of different dimensions.
    """
    wanted, found = (dimension(split(text)[1]) for text in (gold, answer))
    if wanted is None or found is None:
        return _ratio_of_symbols(gold, answer)
    if wanted[0] != found[0] and _TURN in (wanted[0], found[0]) and {wanted[0], found[0]} & {_CELSIUS, _FAHRENHEIT}:
        return Fraction(1)
    return found[1] / wanted[1] if found[0] == wanted[0] else None


def _ratio_of_symbols(gold: str, answer: str) -> Fraction:
    """The same where a unit is one letter, which may be something else: only the same dimension is compared."""
    symbols = [SYMBOL_UNIT.fullmatch(text) for text in (gold, answer)]
    wanted, found = (dimension(symbol["unit"] if symbol else split(text)[1])
                     for symbol, text in zip(symbols, (gold, answer), strict=True))
    return found[1] / wanted[1] if wanted and found and wanted[0] == found[0] else Fraction(1)


def split(text: str) -> tuple[str, str]:
    """A tidy answer as what is counted and its unit, which is empty where there is none."""
    degrees = None if TRIGONOMETRIC.search(text) else DEGREES.search(text)
    if degrees and "\\pi" in text:
        return text, ""  # as many degrees as there are radians: another angle
    text = DEGREES.sub("", text).strip() if degrees else text
    if found := TEXT_UNIT.search(text):
        unit = re.sub(r"\\[a-z]+", "", found.group(1))
        if is_claim(re.findall(r"[A-Za-z]+", unit)):
            return text, ""
        return text[:found.start()].rstrip(), re.sub(r"[{}]", " ", unit)
    found = WORD_UNIT.fullmatch(text) or LETTER_UNIT.fullmatch(text)
    if found is None or is_claim(re.findall(r"[A-Za-z]+", found["unit"])):
        return text, _SCALES.get(degrees.group()[-1], "degree") if degrees else ""
    return found["number"], found["unit"]


def is_claim(words: list[str]) -> bool:
    """Whether words say more than what is counted."""
    return any((word if len(word) == 1 else word.casefold()) in NO_UNIT for word in words)


def dimension(unit: str) -> tuple[Dimension, Fraction] | None:
    """Dimension and size of a unit of the table, or of a product of them: `km/h`, `square feet`, `m^2`."""
    plain = re.sub(r"[{ ]*\^[{ ]*", "^", DEGREES_OF.sub("", unit.casefold())).partition(" of ")[0]
    powers, size = dict[str, int](), Fraction(1)
    sign, power = 1, 1
    last: tuple[Dimension, Fraction] | None = None
    for token in UNIT_TOKEN.findall(plain):
        if token in ("/", "per"):
            sign = -1
            continue
        if token in POWERS:
            power = POWERS[token]
            continue
        if token[0] == "^":
            power = int(token[1:]) - 1  # once it is counted already
        else:
            last = UNITS.get(_singular(token))
        if last is None:
            return None
        for base, times in last[0]:
            powers[base] = powers.get(base, 0) + sign * power * times
        size *= last[1] ** (sign * power)
        power = 1
    return None if last is None else (tuple(sorted(powers.items())), size)


def _singular(unit: str) -> str:
    plain = unit.strip(" .").casefold()
    return plain if plain in UNITS else plain.removesuffix("s")
