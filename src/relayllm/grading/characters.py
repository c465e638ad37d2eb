"""Spell Unicode as LaTeX: digits and letters of any script or width, fractions, indices, signs, spaces, dashes."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ]+")
SUBSCRIPTS = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋ₙᵢ]+")
FRACTIONS = re.compile("[¼½¾⅐-⅞]")
ROOT = re.compile(r"([√∛∜])\s*(\d+(?:\.\d+)?|[A-Za-z](?![A-Za-z]))?")
INDEX = {"√": "", "∛": "[3]", "∜": "[4]"}
SIGNS = {"−": "-", "×": r"\times ", "÷": r"\div ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "≤": r"\le ",
         "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∞": r"\infty ", "∪": r"\cup ", "∈": r"\in ", "∅": r"\emptyset ",
         "ℝ": r"\mathbb{R}", "⁄": "/", "∕": "/", "“": '"', "”": '"', "‘": "'", "’": "'", "∶": ":",
         "、": ", ", "。": ".", "º": "°"}
GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)")


def latex(text: str) -> str:
    r"""`2½·10⁸` -> `2 1/2\cdot 10^{8}`; a text of ASCII as it is."""
    if text.isascii():
        return text
    text = SUPERSCRIPTS.sub(lambda found: f"^{{{_compatible(found.group())}}}", text)
    text = SUBSCRIPTS.sub(lambda found: f"_{{{_compatible(found.group())}}}", text)
    text = FRACTIONS.sub(lambda found: " " + _compatible(found.group()), text)
    text = ROOT.sub(lambda found: rf"\sqrt{INDEX[found[1]]}" + (f"{{{found[2]}}}" if found[2] else ""), text)
    return "".join(map(_spelled, unicodedata.normalize("NFKC", "".join(SIGNS.get(each, each) for each in text))))


def _compatible(text: str) -> str:
    return "".join(map(_spelled, unicodedata.normalize("NFKC", text)))


@lru_cache(maxsize=4096)
def _spelled(letter: str) -> str:
    """One character, which has no compatible form of more than itself."""
    category = unicodedata.category(letter)
    if letter in SIGNS or category == "Cf":
        return SIGNS.get(letter, "")
    if category == "Nd":
        return str(unicodedata.digit(letter))
    if category == "Pd":
        return "-"
    if found := GREEK.fullmatch(unicodedata.name(letter, "")):
        name = found[2].lower().replace("lamda", "lambda")
        return f"\\{name if found[1] == 'SMALL' else name.capitalize()} "
    return letter
