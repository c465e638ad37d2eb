r"""Spell one value so that latex2sympy reads all of it: names with indices, fractions without braces, plain functions.

latex2sympy takes `E_1` for Euler's number, drops a prime, reads `2(3)` and `2 3` as 5, and refuses `\gamma`, `\frac12`
and `4\sqrt(2)`. A name that is more than a letter becomes one symbol, `\xi_{...}` with the name in its digits.
"""

from __future__ import annotations

import re

from relayllm.grading.units import DEGREES, TRIGONOMETRIC, without_units

GREEK = (r"\\(?:alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|vartheta|iota|kappa|lambda|mu|nu|xi|rho|"
         r"varrho|sigma|tau|upsilon|phi|varphi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Sigma|Upsilon|Phi|Psi|Omega|hbar|"
         r"ell|mho|square|heartsuit)(?![A-Za-z])")
LETTER = rf"(?:{GREEK}|[A-Za-z])"
GROUP = r"\{(?:[^{}]|\{[^{}]*\})*\}"
ACCENTED = (r"\\(?:dot|ddot|hat|widehat|vec|bar|overline|tilde|widetilde|overrightarrow|text|mathrm|mbox|operatorname)"
            rf"(?![A-Za-z])\s*(?:{GROUP}|{LETTER})")
INDEX = rf"\s*_\s*(?:{GROUP}|\\[A-Za-z]+|\w)"
PRIME = r"\s*(?:'+|\^\s*\{\s*(?:\\prime\s*)+\}|\^\s*\\prime(?![A-Za-z]))"
NAME = rf"(?:{ACCENTED}|{LETTER})(?:{INDEX})?(?:{PRIME})?(?:{INDEX})?"
TOKEN = re.compile(rf"(?P<name>{NAME})|\\[A-Za-z]+")
PLAIN_NAME = re.compile(r"[A-HJ-Za-z]|\\(?!gamma|Gamma|mho|square|heartsuit)[A-Za-z]+")
DERIVATIVE = re.compile(
    rf"\\frac\s*\{{\s*(?:d|\\partial|\\mathrm\{{d\}})\s*(\^\{{?\d\}}?)?\s*({NAME})\s*\}}\s*"
    rf"\{{\s*(?:d|\\partial|\\mathrm\{{d\}})\s*({NAME})\s*(?:\^\{{?\d\}}?)?\s*\}}"
    rf"|(?<![A-Za-z\\])d()({LETTER})\s*/\s*d({LETTER})(?![A-Za-z])")
FUNCTIONS = ("arcsin|arccos|arctan|arcsinh|arccosh|arctanh|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|ln|log|exp|sqrt|"
             "max|min|gcd")
NAMED_FUNCTION = re.compile(rf"\\(?:operatorname|mathrm|text)\s*\{{\s*({FUNCTIONS})\s*\}}|(?<![\\A-Za-z])(?:np\.)?"
                            rf"({FUNCTIONS}|pi|theta|alpha|beta|gamma|lambda|omega|sigma|delta|zeta|"
                            rf"tau|phi|rho|infty)(?![A-Za-z])")
CHOOSE = re.compile(r"\{?([^{}]*?)\\choose(?![A-Za-z])([^{}]*)\}?|[_^]\{?(\w+)\}?\s*C\s*_\{?(\w+)\}?"
                    r"|(?<![A-Za-z])C\(([^(),]+),\s*([^(),]+)\)")
INVERSE = re.compile(r"\\operatorname\s*\{\s*a(sin|cos|tan)\s*\}|(?<![\\A-Za-z])a(sin|cos|tan)(?![A-Za-z])")
WHOLE_NUMBER = re.compile(r"(?<![\\A-Za-z])(floor|ceil)\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
BARE_LOG = re.compile(r"\\log(?![A-Za-z])(?!\s*_)")
ONE_LETTER = re.compile(r"\\(?:mathrm|text|textrm|textit|operatorname|rm)\s*\{\s*([A-Za-z])\s*\}")
ARGUMENTS = (("\\frac", 2), ("\\binom", 2), ("\\sqrt", 1))
MIXED = re.compile(r"(?<![\d.}_^\\])(\d+)\s*(\\frac\{\d+\}\{\d+\})")
MIXED_PLAIN = re.compile(r"(?<![\d.}_^/])(\d+) (\d+)/(\d+)")
DEGREE_NUMBER = re.compile(rf"(\d+(?:\.\d+)?)\s*(?:{DEGREES.pattern})")
FACTOR = re.compile(r"(?<=\d)\s*(?=\()")
ONE_INDEX = re.compile(r"(?<=[a-z])\s*_\s*(\w)")
WORD = re.compile(r"\\(?:text|mathrm|mbox)\s*\{[^{}]*[A-Za-z]{2,}|(?<![\\A-Za-z])[A-Za-z]{4,}")
WHOLE = re.compile(r"\d{2,}")
r"""TeX reads `\sqrt13` as the root of 1, times 3; nobody means that."""
NO_PRODUCT = re.compile(r"\d\s+[\d.]|\d\s*[_']|\.\.")


def parsable(text: str, natural: bool = False) -> str:
    r"""One value in the LaTeX that latex2sympy reads whole; `natural` takes a `\log` without a base for `\ln`.

    Raises:
        ValueError: two numbers stand side by side, a number has an index, or a bracket is not closed.
    """
    text = DEGREE_NUMBER.sub(r"\\left(\\frac{\1\\pi}{180}\\right)", text) if TRIGONOMETRIC.search(text) else text
    text = without_units(text).replace("\\left", "").replace("\\right", "")
    text = re.sub(r"\\[dt]binom(?![A-Za-z])", r"\\binom", text.replace("**", "^").replace("\\lg", "\\log"))
    text = CHOOSE.sub(lambda found: "\\binom{{{}}}{{{}}}".format(*filter(None, found.groups())), text)
    text = INVERSE.sub(lambda found: f"\\arc{found.group(1) or found.group(2)} ", text)
    text = WHOLE_NUMBER.sub(r"\\l\1 \2\\r\1 ", text)
    text = NAMED_FUNCTION.sub(lambda found: f"\\{found.group(1) or found.group(2)} ", text)
    text = BARE_LOG.sub(r"\\ln ", text) if natural else text
    text = DERIVATIVE.sub(_derivative, ONE_LETTER.sub(r"\1", text))
    text = ONE_INDEX.sub(r"_{\1}", TOKEN.sub(_token, text))
    text = re.sub(r"(?<![\d.])\.(?=\d)", "0.", re.sub(r"(?<=\d)\.(?!\d)", "", text))
    for command, count in ARGUMENTS:
        text = _braced(text, command, count)
    text = _power_braced(text)
    text = MIXED.sub(r"(\1+\2)", MIXED_PLAIN.sub(r"(\1+\\frac{\2}{\3})", text))
    if NO_PRODUCT.search(text):
        raise ValueError("numbers that are no product")
    text = FACTOR.sub(r"\\cdot ", text)
    return rf"\frac{{{text[:-1]}}}{{100}}" if text.endswith("%") else text


def has_words(text: str) -> bool:
    """Whether a value without its unit holds words that name no function."""
    return WORD.search(NAMED_FUNCTION.sub("", INVERSE.sub("", WHOLE_NUMBER.sub("", without_units(text))))) is not None


def symbol(name: str) -> str:
    """A name of any length as one symbol, the same for every spelling of it."""
    return rf"\xi_{{{int.from_bytes(plain_name(name).encode(), 'big')}}}"


def plain_name(name: str) -> str:
    r"""`x_1` of `x_{1}`."""
    return re.sub(r"\\(?:text|mathrm|mbox|operatorname|prime)(?![A-Za-z])|[\s{}\\^]", "", name.replace("\\prime", "'"))


def _token(found: re.Match[str]) -> str:
    name = found["name"]
    if name is None or PLAIN_NAME.fullmatch(name) or (name == "\\Gamma" and found.string[found.end():][:1] == "("):
        return found.group()
    return symbol(name)


def _derivative(found: re.Match[str]) -> str:
    order, above, below = (part or "" for part in (found.groups()[:3] if found.group(3) else found.groups()[3:]))
    return symbol(f"d{order}{above}/d{below}")


def _braced(text: str, command: str, count: int) -> str:
    r"""`\frac12` and `\sqrt(2)` with the braces that LaTeX lets a writer leave out."""
    pieces = re.split(re.escape(command) + r"(?![A-Za-z])", text)
    for place in range(len(pieces) - 1, 0, -1):
        rest, arguments = pieces[place].lstrip(), ""
        if command == "\\sqrt" and rest.startswith("["):
            index, rest = rest[:rest.find("]") + 1], rest[rest.find("]") + 1:].lstrip()
            arguments = index
        for _ in range(count):
            whole = WHOLE.match(rest) if command == "\\sqrt" else None
            argument, rest = (whole.group(), rest[whole.end():]) if whole else _argument(rest)
            arguments += f"{{{argument}}}"
        pieces[place - 1:place + 1] = [pieces[place - 1] + command + arguments + rest]
    return pieces[0]


def _argument(text: str) -> tuple[str, str]:
    """What a command takes from the text behind it, and the rest: a group in braces or brackets, or one token."""
    text = text.lstrip()
    if text[:1] in ("{", "("):
        depth = 0
        for place, letter in enumerate(text):
            depth += (letter in "{(") - (letter in "})")
            if depth == 0:
                return text[1:place], text[place + 1:]
        raise ValueError("a bracket is not closed")
    found = re.match(r"\\xi_\{\d+\}|\\[A-Za-z]+|.", text)
    if found is None:
        raise ValueError("a command without what it applies to")
    return found.group(), text[found.end():]


def _power_braced(text: str) -> str:
    r"""`2^(n+1)` -> `2^{n+1}`."""
    pieces = re.split(r"\^\s*(?=\()", text)
    for place in range(len(pieces) - 1, 0, -1):
        argument, rest = _argument(pieces[place])
        pieces[place - 1:place + 1] = [f"{pieces[place - 1]}^{{{argument}}}{rest}"]
    return pieces[0]
