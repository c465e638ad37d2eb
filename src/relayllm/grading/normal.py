"""Bring answers that differ in typography alone to the same text, and read those that are plain numbers.

What a unit is and how it is dropped: `relayllm.grading.units`.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from relayllm.grading.characters import latex
from relayllm.grading.units import without_units

MAX_DIGITS = 400
"""Longer numbers and larger exponents are left to the worker and its time limit."""

PLAIN = re.compile(r"-?[0-9]+")
WRAPPERS = re.compile(r"\$+(.*?)\$+|\\\((.*)\\\)|\\\[(.*)\\\]|\*\*(.*)\*\*|\*(.*)\*|__(.*)__|`(.*)`"
                      r"|\"([^\"]*)\"|'([^']*)'|<b>(.*)</b>", re.DOTALL)
SIZES = re.compile(r"\\(?:left|right|[bB]igg?[lr]?|checkmark|blacksquare|qed|displaystyle|textstyle|scriptstyle|limits|"
                   r"nolimits|tiny|small|"
                   r"normalsize|[lL]arge|LARGE|[hH]uge|HUGE)(?![A-Za-z])")
FONT = re.compile(r"\\(?:mathbf|boldsymbol|bold|bm|mathit|mathsf|mathtt|mathcal|mathnormal|pmb|underline|bf|it|tt|emph)"
                  r"(?![A-Za-z])\s*")
UNIT_VECTOR = re.compile(r"\\(?:wide)?(?:hat|vec)\s*"
                         r"(?:\{\s*(?:\\mathbf\s*)?\\?([ijk])(?:math)?\s*\}|\\?([ijk])(?![A-Za-z]))")
"""`\\hat{i}`, `\\vec j`, `\\hat{\\imath}`: the same as `\\mathbf{i}`."""
UNSEEN = re.compile(r"\\(?:(?:text)?color|label|tag|[hv]space\*?|h?phantom)\s*\{[^{}]*\}")
"""Commands that print nothing of what is in their braces."""
LEAD = re.compile(r"(?:[=:]|\\(?:therefore|implies|[rR]ightarrow|Longrightarrow|approx|sim|simeq)(?![A-Za-z])"
                  r"|答案[是为:]?"
                  r"|(?:\\text\s*\{)?\s*(?:the\s+)?(?:(?:open|closed|half-open|ordered)\s+)?"
                  r"(?:interval|set|point|pair|triple|vector|matrix)\s*\}?\s*(?=[\\(\[{])"
                  r"|(?:\\text\s*\{)?\s*(?:for\s+)?all\s+(?:(?:positive|real|natural)\s+)?(?:(?:integers?|numbers?|reals?|values\s+of)\s+)?"
                  r"\}?\s*(?=[A-Za-z]\s*(?:[<>≤≥]|\\[gl]e))"
                  r"|(?:\\text\{)?\s*(?:the\s+)?(?:final\s+|correct\s+)?answer(?:\s+is\b|\s*[:=])\s*:?\s*\}?"
                  r"|(?:about|approximately|around|roughly|exactly|just|only|simply|clearly|indeed|therefore|thus|hence|then"
                  r"|so|a total of)\b(?=\s))\s*(?=\S)", re.IGNORECASE)
"""What may stand before an answer and says nothing of it."""
NEGATIVE = re.compile(r"(?<![A-Za-z\\])(?:negative|minus)\s+(?=[\d.\\])", re.IGNORECASE)
ANNOTATION = re.compile(r"<<[^<>]*>>(?=\S)")
"""A sum for a calculator, as in GSM8K's solutions: `4 + 8 = <<4+8=12>>12`."""
SPACING = re.compile(r"(?<!\\)\\[,;: ]|~|\\(?:q?quad|thinspace)(?![A-Za-z])")
THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\s*\\!|\\,)\s*(?=\d{3}(?!\d))")
ROUND = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})*,000(?:,\d{3})*(?![\d,])")
"""A number with a group of zeros, which is never the next part of a list."""
TEXT = re.compile(r"\\(?:text(?:rm|bf|it|sf|tt|sc|sl|up|md|normal)?|mathrm|operatorname|mbox|rm)\s*\{([^{}]*)\}")
GROUPED = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?|-?\d{1,3}(?:[ ']\d{3})+(?:\.\d+)?|-?\d{1,3}(?:\.\d{3}){2,}")
IN_BRACKETS = re.compile(r"\(([^()\[\]{},;]*)\)|\{([^{}]*)\}")
INNER_SPACE = re.compile(r"(?<!\d)\s+|\s+(?!\d)")
PERCENT = re.compile(r"\s*(?:\\%|%|\\text\{\s*percent\s*\}|(?<=\d) *percent)\.?$")
END = re.compile(r"(?<=[\w)}\]%])\s*\.$")
NAMED = re.compile(r"([A-Za-z])(?:_\{?\w\}?)?\s*=\s*([^=]+)")
NUMBER = re.compile(r"([+-]?)(\d*\.?\d+|\d+\.)(?:(?:[eE]|(?:\*|\\times|\\cdot|\\ast)\{?10\}?\^)\{?([+-]?\d+)\}?)?")
POWER_OF_TEN = re.compile(r"([+-]?)10\^\{?(-?\d+)\}?")
FRACTION = re.compile(r"([+-]?)(?:\\frac\{([+-]?\d+)\.?\}\{([+-]?\d+)\.?\}|\\frac(\d)(\d)|(\d+)\.?/(\d+)\.?)")
MIXED = re.compile(r"([+-]?)(\d+)(?: (\d+)/(\d+)|\\frac\{(\d+)\}\{(\d+)\}|\\frac(\d)(\d))")
REPEATING = re.compile(r"([+-]?)(\d*)\.(\d*)\\overline\{(\d+)\}")
RECURRING = re.compile(r"(?<=\.)(\d*)(?:\\(?:bar|dot)\s*\{(\d+)\}|\((\d+)\)(?!\d))")
"""`0.1\\bar{6}`, `0.1(6)`"""
ONGOING = re.compile(r"(?<=\.)(\d*?)(\d)\2\2+(?:\.\.\.|\\ldots)")
"""`0.1666...`"""
WORDS = re.compile(r"[A-Za-z]{2,}|(?=.*[A-Za-z]{3})[A-Za-z](?:[' -]?[A-Za-z])+")
"""Letters alone, with hyphens and spaces only where a word is among them: `p - q` and `kx-a` are none."""
SHORT = (("\\dfrac", "\\frac"), ("\\tfrac", "\\frac"), ("\\cfrac", "\\frac"), ("\\!", ""), ("\\%", "%"), ("\\$", ""),
         ("$", ""), ("<=", "\\le "), (">=", "\\ge "), ("\\sfrac", "\\frac"), ("\\nicefrac", "\\frac"),
         ("\\dots", "\\ldots"), ("\\cdots", "\\ldots"), ("\\colon", ":"), ("{:}", ":"), ("\\imath", "i"),
         ("\\varnothing", "\\emptyset"), ("\\lbrace", "\\{"), ("\\rbrace", "\\}"), ("\\{,", "\\{"))
TIMES = re.compile(r"(?<=\d)(?<!\b0)\s*[xX]\s*(?=\d)")
RATIO = re.compile(r"(?<=\d)(?:\s*:\s*|\s+to\s+|\s*\\text\{ *to *\}\s*)(?=\d)")
OF_COUNTRY = re.compile(r"^(?:US|CA|AU|NZ|HK|[AC])\s*\\?\$")
CURRENCY = re.compile(r"^(-?)(?:[€£¥₹₩₽]|\\(?:pounds|euro|yen)(?![A-Za-z]))\s*|\s*(?:[€£¥₹₩₽¢]|\\(?:pounds|euro|yen))$")
IN_WORDS = (
    (re.compile(r"(?:the )?(?:set of )?(?:all )?real(?: number)?s", re.IGNORECASE), r"\mathbb{R}"),
    (re.compile(r"(?:there (?:is|are) )?no (?:real )?solutions?|(?:the )?empty set", re.IGNORECASE), r"\emptyset"),
    (re.compile(r"infinity|infinitely many", re.IGNORECASE), r"\infty"))
"""What has a sign as well as a name."""
NOT = re.compile(r"\\not\s*(?:=|\\(in)(?![A-Za-z]))|!=|<>")
EQUALS = re.compile(r"^(\\?[A-Za-z](?:_\{?\w+\}?)?(?:\([A-Za-z]\))?)\s+"
                    r"(?:\\text\s*\{\s*)?(?:equals|is\s+equal\s+to)\s*\}?\s+")
"""`x is equal to 5`: the sign in words behind one symbol."""
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
        return re.sub(r"[, '.]" if text.count(".") > 1 else r"[, ']", "", text)
    return text if WORDS.fullmatch(text) else INNER_SPACE.sub("", text)


@lru_cache(maxsize=4096)
def tidy(answer: str) -> str:
    """The answer in one spelling of LaTeX, its words, spaces and units still in place."""
    text = _unwrapped(UNSEEN.sub("", SIZES.sub("", OF_COUNTRY.sub("$", latex(answer).strip()))))
    text = UNIT_VECTOR.sub(lambda found: found[1] or found[2], text)
    text = SPACING.sub(" ", THOUSANDS.sub("", FONT.sub("", ANNOTATION.sub("", text)))).strip()
    text = NEGATIVE.sub("-", LEAD.sub("", text, 1) if LEAD.match(text) else text, 1)
    text = ROUND.sub(lambda found: found.group().replace(",", ""), text)
    for long, short in SHORT:
        text = text.replace(long, short)
    text = EQUALS.sub(r"\1 = ", text)
    text = NOT.sub(lambda found: "\\notin " if found[1] else "\\ne ", text)
    text = RECURRING.sub(lambda found: f"{found[1]}\\overline{{{found[2] or found[3]}}}", text)
    text = TIMES.sub(r"\\times ", SAME_SIGN.sub(r"\\\1", text))
    text = ONGOING.sub(r"\1\\overline{\2}", RATIO.sub(":", CURRENCY.sub(r"\1", text.strip()).strip()))
    text = PERCENT.sub("%", END.sub("", text.rstrip("\\ ")))
    whole = TEXT.fullmatch(text)
    text = _bare(END.sub("", whole.group(1).strip()) if whole else text)
    return next((sign for words, sign in IN_WORDS if words.fullmatch(text)), text)


def number(text: str) -> Fraction | None:
    """The value of a canonical answer that is a plain, mixed or decimal number; None for anything else."""
    if len(text) > MAX_DIGITS:
        return None
    if text.endswith("%"):
        value = number(text[:-1])
        return None if value is None else value / 100
    if PLAIN.fullmatch(text):
        return Fraction(int(text))
    if found := NUMBER.fullmatch(text):
        return _decimal(*found.groups())
    if found := POWER_OF_TEN.fullmatch(text):
        return _decimal(found.group(1), "1", found.group(2))
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
    while found := WRAPPERS.fullmatch(text.strip()):
        text = next((part for part in found.groups() if part is not None), "")
    return text.strip()


def _bare(text: str) -> str:
    """`(73)` -> `73`, when the brackets hold one thing."""
    found = IN_BRACKETS.fullmatch(text)
    return (found.group(1) if found.group(1) is not None else found.group(2)).strip() if found else text


def _decimal(sign: str, digits: str, exponent: str | None) -> Fraction | None:
    power = int(exponent or 0)
    if abs(power) > MAX_DIGITS:
        return None
    value = Fraction(digits.rstrip(".") or "0") * Fraction(10) ** power
    return -value if sign == "-" else value


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
