"""Answers made from a gold answer: other spellings of it, which are right, and answers near it, which are wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from relayllm.grading.normal import canonical, is_words, number
from relayllm.grading.structure import Kind, ParsedAnswer, read

Made = tuple[str, str]
"""What was done to the gold answer, and what came of it."""
SYMBOL = re.compile(r"(?<![\\A-Za-z{])([a-df-hj-z])(?![A-Za-z])")
INDEX = re.compile(r"_\{(\w)\}")
DIGIT = re.compile(r"(?<![\d_])[1-8](?!\d)")


def right(gold: str) -> list[Made]:
    """The gold answer in other spellings, each once."""
    return _distinct(gold, _right(gold, read(gold)))


def wrong(gold: str) -> list[Made]:
    """Answers that a person would mark wrong, each once."""
    return _distinct(gold, _wrong(gold, read(gold)))


def _distinct(gold: str, made: Iterator[Made]) -> list[Made]:
    seen: dict[str, str] = {}
    for what, text in made:
        if text.strip() != gold.strip():
            seen.setdefault(text, what)
    return [(what, text) for text, what in seen.items()]


def _right(gold: str, answer: ParsedAnswer) -> Iterator[Made]:
    yield "period", f"{gold}."
    yield "spaces", re.sub(r"([+=<>])", r" \1 ", gold)
    yield "sizes", re.sub(r"(?<!\\left)(?<!\\)\(", r"\\left(", re.sub(r"(?<!\\right)(?<!\\)\)", r"\\right)", gold))
    yield "dfrac", gold.replace("\\frac", "\\dfrac")
    yield "index without braces", INDEX.sub(r"_\1", gold)
    yield "root without braces", re.sub(r"\\sqrt\{(\w)\}", r"\\sqrt \1", gold)
    yield "fraction as a slash", re.sub(r"(?<!\d)\\frac\{(\d+)\}\{(\d+)\}$", r"\1/\2", gold)
    yield from _right_number(gold)
    if answer.kind is Kind.LIST:
        texts = [part.text for part in answer.parts]
        yield "reversed", ", ".join(reversed(texts))
        yield "and", " \\text{ and } ".join(texts)
    if answer.kind is Kind.VALUE and not is_words(canonical(gold)):
        yield "bold", f"\\boldsymbol{{{gold}}}"
        if number(canonical(gold)) is None and "%" not in gold and not re.search(r"\d_|text", gold):
            yield "plus and minus one", f"{answer.text} + 1 - 1"
            yield "twice and half", f"\\frac{{2\\left({answer.text}\\right)}}{{2}}"
        if "\\text" not in gold:
            yield "named", f"z = {gold}"


def _right_number(gold: str) -> Iterator[Made]:
    value = number(canonical(gold))
    if value is None or "%" in gold or "\\text" in gold:
        return
    if value.denominator == 1:
        yield "decimal point", f"{value.numerator}.0"
        yield "thousands", f"{value.numerator:,}"
        yield "thousands in LaTeX", f"{value.numerator:,}".replace(",", "{,}")
        yield "fraction", f"\\frac{{{2 * value.numerator}}}{{2}}"
        yield "dollars", f"\\${value.numerator}"
        return
    yield "fraction", f"\\frac{{{value.numerator}}}{{{value.denominator}}}"
    whole, rest = divmod(abs(value.numerator), value.denominator)
    if whole:
        yield "mixed", f"{'-' if value < 0 else ''}{whole} {rest}/{value.denominator}"


def _wrong(gold: str, answer: ParsedAnswer) -> Iterator[Made]:
    plain = canonical(gold)
    if is_words(plain):
        yield "another word", f"\\text{{non}}{gold}"
        yield "a number", "1"
        return
    value = number(plain)
    if value is not None:
        yield from _wrong_number(value, gold)
    elif answer.kind is Kind.VALUE:
        yield from _wrong_value(answer.text)
    elif answer.kind in (Kind.LIST, Kind.TUPLE, Kind.SET, Kind.UNION):
        yield from _wrong_parts(answer)
    elif answer.kind is Kind.RELATION:
        if answer.parts[-1].text != "0":
            yield "sign of one side", f"-({answer.parts[0].text}) {answer.marks[0]} {answer.parts[-1].text}"
        yield "one more", f"{gold} + 1"
        yield "not equal", f"{answer.parts[0].text} \\ne {answer.parts[-1].text}"
    yield from _wrong_letters(gold)


def _wrong_number(value: Fraction, gold: str) -> Iterator[Made]:
    text = _fraction(value)
    yield "one more", _fraction(value + 1)
    if value:
        yield "sign", text[1:] if value < 0 else f"-{text}"
        yield "times ten", f"{text}0" if value.denominator == 1 else f"10 \\cdot {text}"
        yield "times a name", f"{text}x"
        yield "in a sum", f"{text} + x"
        yield "in an equation", f"x + 1 = {text}"
        yield "not equal", f"\\neq {text}"
        yield "behind a name", f"E_{{17}} {text}"
        yield "over a word", f"{text} over three"
    yield "alternatives", f"{text} \\text{{ or }} 987654321"
    yield "less than", f"x < {text}"
    yield "in a pair", f"({text}, {text})"
    if value.denominator > 1:
        yield "numerator", str(value.numerator)
        yield "upside down", f"\\frac{{{value.denominator}}}{{{value.numerator}}}"


def _wrong_value(text: str) -> Iterator[Made]:
    yield "sign", text[1:] if text.startswith("-") and not re.search(r".[+-]", text) else f"-({text})"
    yield "one more", f"{text} + 1"
    yield "twice", f"2({text})"
    yield "alternatives", f"{text} \\text{{ or }} 987654321"
    yield "times a name", f"w({text})"
    terms = _terms(text)
    if len(terms) > 1:
        yield "first term", terms[0]
        yield "last term", terms[-1].lstrip("+")
        yield "without the last term", "".join(terms[:-1])
        yield "sign of the last term", "".join(terms[:-1]) + _negated(terms[-1])
    numbers = re.findall(r"(?<![\d_^{])\d+(?!\d*_)", text)
    if numbers:
        yield "a number in it", numbers[0]
    if found := re.search(r"\\frac\{([^{}]+)\}\{([^{}]+)\}", text):
        yield "a fraction in it", found.group() if found.group() != text else found.group(1)
    digits = list(DIGIT.finditer(text))
    if digits:
        last = digits[-1]
        yield "another digit", text[:last.start()] + str(int(last.group()) + 1) + text[last.end():]


def _wrong_parts(answer: ParsedAnswer) -> Iterator[Made]:
    texts = [part.text for part in answer.parts]
    opening, closing = {Kind.SET: ("\\{", "\\}"), Kind.TUPLE: answer.marks or ("(", ")")}.get(answer.kind, ("", ""))
    join = " \\cup " if answer.kind is Kind.UNION else ", "

    def written(parts: list[str]) -> str:
        return f"{opening}{join.join(parts)}{closing}"

    yield "without the last part", written(texts[:-1])
    yield "without the first part", written(texts[1:])
    yield "one part", texts[0]
    yield "a part too many", written([*texts, "(977, 978)" if answer.kind is Kind.UNION else "977"])
    if answer.kind is not Kind.UNION and "\\infty" not in texts[-1]:
        yield "last part one more", written([*texts[:-1], f"{texts[-1]} + 1" if texts[-1][:1] not in "([" else "977"])
    if answer.kind is Kind.TUPLE:
        swapped = [texts[1], texts[0], *texts[2:]]
        if canonical(texts[0]) != canonical(texts[1]):
            yield "order", written(swapped)
        if len(texts) == 2:
            yield "brackets", written(texts).replace(opening, "[" if opening == "(" else "(", 1)
    if answer.kind is Kind.LIST and len({*texts}) < len(texts):
        yield "repetitions left out", written(list(dict.fromkeys(texts)))


def _wrong_letters(gold: str) -> Iterator[Made]:
    plain = re.sub(r"\\(?:text|mathrm|begin|end|operatorname)\s*\{[^{}]*\}", "", gold)
    letters = [match for match in SYMBOL.finditer(gold) if plain == gold]
    if letters and not re.match(r"\s*\w\s*(?:\(\w\))?\s*=", gold):
        found = letters[-1]
        other = "q" if "q" not in gold else "w"
        yield "another name", gold[:found.start()] + other + gold[found.end():]
        if found.group().upper() not in gold:
            yield "a capital", gold[:found.start()] + found.group().upper() + gold[found.end():]
    if found := INDEX.search(gold):
        yield "another index", gold[:found.start()] + "_{9}" + gold[found.end():]


def _fraction(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def _terms(text: str) -> list[str]:
    """The terms of a sum outside all brackets, each with its sign."""
    depth, start, terms = 0, 0, []
    for place, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and letter in "+-" and text[start:place].strip() and text[place - 1:place] not in "^*/":
            terms.append(text[start:place].strip())
            start = place
    return [*terms, text[start:].strip()]


def _negated(term: str) -> str:
    return f"+{term[1:]}" if term.startswith("-") else f"-{term.lstrip('+')}"
