"""Overlap of training and benchmarks: questions that repeat a benchmark's, whole, reworded or with other numbers.

Two questions are *alike* when their word pairs (shingles) are: the share of the shorter one's pairs that the longer one
has (containment), so that an instruction behind a question or a number before it does not hide it. For this, numbers
are one word, and so are names: a word that the questions never write in lower case, or seldom beside how often they
write it with a capital inside a sentence (a Lily among lilies). Alike questions are a

- `copy` when one holds the numbers of the other, in their order and without a gap. Where a question has fewer than two
  numbers, or follows a template and has fewer than `TELLING`, names count as what they are;
- `variant` when the numbers are others: the benchmark's question may have been reworked;
- `template` when more than `TEMPLATE` different training questions are alike to the same benchmark question: a form
  that a set repeats says nothing about where one of its questions comes from.

Search is exact. Questions of one form are compared once; an inverted index looks only at pairs that share one of their
rarest shingles (prefix filter: Chaudhuri et al., 2006).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

SPACING = re.compile(r"\\(?:[!,;: ]|left|right|displaystyle|dfrac|tfrac|text|mathrm)(?![A-Za-z])|[${}~]")
SEPARATOR = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|[-+*/=^<>|!%]")
INSIDE = re.compile(r"(?<=[a-z,] )[A-Z][^\W\d_]+")
"""A capital where no sentence begins."""

NUMBER, NAME = "0", "A"
"""What stands for every number, and for every name, in the form of a question."""
TEMPLATE = 3
"""So many training questions may be alike to one of a benchmark before their form is taken for a template."""
TELLING = 3
"""So many equal numbers in a row tell a question from the others of its template, whatever the names are."""
SELDOM = 5
"""So many times as often with a capital inside a sentence as in lower case, and a word is a name all the same."""
SHORT = 8
"""Words from which a question may be found within a longer one; shorter ones are compared whole."""
SHARE = 0.3
"""Share of the longer question's words that the shorter one needs to be found within it."""
EXTRA_NUMBERS = 2
"""Numbers that an instruction or a numbering may add."""

Shingles = frozenset[tuple[str, ...]]
MatchKind = Literal["copy", "variant", "template"]
_Form = tuple[str, ...]
_Alike = Mapping[_Form, Sequence[tuple[_Form, float]]]


@dataclass(frozen=True, slots=True)
class Match:
    """The benchmark question that a training question repeats, and how."""

    benchmark_id: str
    score: float
    """Share of shingles in common, 0 to 1."""
    kind: MatchKind

    def __str__(self) -> str:
        """As it is reported: the question and the score."""
        return f"{self.benchmark_id}, score {self.score:.2f}"


@dataclass(frozen=True)
class Text:
    """A question prepared for comparison: its words and its numbers."""

    words: tuple[str, ...]
    """Lower case; numbers and operators are words."""
    form: tuple[str, ...]
    """The words with numbers and names masked."""

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """The numbers, in their order."""
        return tuple(word for word in self.words if word[0].isdigit())

    @cached_property
    def named(self) -> tuple[str, ...]:
        """The words with numbers masked: the form, with the names as they are."""
        return tuple(NUMBER if word[0].isdigit() else word for word in self.words)


def texts(questions: Iterable[str]) -> list[Text]:
    """Questions as they are compared, names told from other words by how all of them write them."""
    asked = list(questions)
    tokens = [_tokens(question) for question in asked]
    lower = Counter(token for each in tokens for token in each if token.islower())
    inside = Counter(word.casefold() for question in asked for word in INSIDE.findall(question))
    capital = {token.casefold() for each in tokens for token in each if token[0].isupper() and len(token) > 1}
    names = {word for word in capital if SELDOM * lower[word] <= inside[word]}
    return [_text([token.casefold() for token in each], names) for each in tokens]


def _tokens(question: str) -> list[str]:
    return TOKEN.findall(SEPARATOR.sub("", SPACING.sub(" ", question.replace("\\dfrac", "\\frac"))))


def _text(words: Sequence[str], names: set[str]) -> Text:
    form = tuple(NUMBER if word[0].isdigit() else NAME if word in names else word for word in words)
    return Text(tuple(words), form)


def shingled(words: Sequence[str]) -> Shingles:
    """Pairs of neighbouring words; the word itself when there is one."""
    return frozenset(pairwise(words)) or frozenset([tuple(words)])


def likeness(left: Sequence[str], right: Sequence[str]) -> float:
    """Share of shingles two questions have in common: of the shorter one's where it may lie within the other."""
    return _likeness(shingled(left), shingled(right), len(left), len(right))


def _likeness(left: Shingles, right: Shingles, left_words: int, right_words: int) -> float:
    common = len(left & right)
    short, long = sorted((left_words, right_words))
    if short >= SHORT and short >= SHARE * long:
        return common / min(len(left), len(right))
    return common / (len(left) + len(right) - common)


def overlaps(training: Sequence[str], benchmarks: Mapping[str, str], similarity: float) -> list[Match | None]:
    """For each training question the benchmark question that it repeats, or None; a copy before any other.

    `benchmarks` maps ids to questions; `similarity` is the score from which two questions are alike.
    """
    every = texts([*training, *benchmarks.values()])
    asked, held_out = every[:len(training)], dict(zip(benchmarks, every[len(training):], strict=True))
    forms = _by_form(held_out)
    alike = _alike({text.form for text in asked}, forms, similarity)
    followers = _followers(asked, alike)
    return [_best(text, alike.get(text.form, ()), forms, followers, similarity) for text in asked]


class _SameForm:
    """Benchmark questions of one form, found by the numbers they hold."""

    def __init__(self) -> None:
        self.first = ""
        self._exact: dict[tuple[str, ...], list[tuple[str, Text]]] = defaultdict(list)
        self._within: dict[tuple[str, ...], list[tuple[str, Text]]] = defaultdict(list)

    def add(self, name: str, text: Text) -> None:
        self.first = self.first or name
        self._exact[text.numbers].append((name, text))
        for part in _parts(text.numbers):
            self._within[part].append((name, text))

    def with_numbers_of(self, text: Text) -> Iterator[tuple[str, Text]]:
        """Questions whose numbers stand in those of the text, or the other way round."""
        yield from self._within.get(text.numbers, ())
        for part in _parts(text.numbers) - {text.numbers}:
            yield from self._exact.get(part, ())


def _parts(numbers: tuple[str, ...]) -> set[tuple[str, ...]]:
    """The numbers, and what is left without few of them before or behind."""
    return {numbers[start:len(numbers) - end] for start in range(EXTRA_NUMBERS + 1)
            for end in range(EXTRA_NUMBERS + 1 - start) if start + end <= len(numbers)}


def _by_form(held_out: Mapping[str, Text]) -> dict[_Form, _SameForm]:
    forms: dict[_Form, _SameForm] = defaultdict(_SameForm)
    for name, text in held_out.items():
        forms[text.form].add(name, text)
    return forms


def _followers(asked: Sequence[Text], alike: _Alike) -> Counter[_Form]:
    """How many different training questions are alike to each form of the benchmarks."""
    return Counter(form for text in {text.words: text for text in asked}.values()
                   for form, _ in alike.get(text.form, ()))


def _best(text: Text, alike: Iterable[tuple[_Form, float]], forms: Mapping[_Form, _SameForm],
          followers: Mapping[_Form, int], similarity: float) -> Match | None:
    """The strongest match: copies before variants before templates, then by score, then by id."""
    found = []
    for form, score in alike:
        repeated = followers[form] > TEMPLATE
        found.append(Match(forms[form].first, score, "template" if repeated else "variant"))
        for name, other in forms[form].with_numbers_of(text):
            named = likeness(text.named, other.named)
            by_name = min(len(text.numbers), len(other.numbers)) < (TELLING if repeated else 2)
            if not by_name or named >= similarity:
                found.append(Match(name, max(score, named), "copy"))
    return min(found, key=_rank, default=None)


def _rank(match: Match) -> tuple[int, float, str]:
    return ("copy", "variant", "template").index(match.kind), -match.score, match.benchmark_id


def _alike(asked: Iterable[_Form], held_out: Iterable[_Form], similarity: float) -> _Alike:
    """For each form of the training questions the benchmarks' forms that are alike, with the score."""
    index = _Index(list(held_out), similarity)
    return {form: index.like(form) for form in asked}


class _Index:
    """Forms found by the rarest of their shingles."""

    def __init__(self, forms: Sequence[_Form], similarity: float) -> None:
        self._similarity = similarity
        self._forms = [(form, shingled(form)) for form in forms]
        self._count = Counter(shingle for _, shingles in self._forms for shingle in shingles)
        self._by_any: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._by_rare: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for position, (_, shingles) in enumerate(self._forms):
            for shingle in shingles:
                self._by_any[shingle].append(position)
            for shingle in self._prefix(shingles):
                self._by_rare[shingle].append(position)

    def like(self, form: _Form) -> list[tuple[_Form, float]]:
        """The forms that are alike to one. The shorter of two shares one of its own rarest shingles with the other."""
        mine = shingled(form)
        candidates = {position for shingle in self._prefix(mine) for position in self._by_any.get(shingle, ())}
        candidates |= {position for shingle in mine for position in self._by_rare.get(shingle, ())}
        found = []
        for position in sorted(candidates):
            other, theirs = self._forms[position]
            score = _likeness(mine, theirs, len(form), len(other))
            if score >= self._similarity:
                found.append((other, score))
        return found

    def _prefix(self, shingles: Shingles) -> list[tuple[str, ...]]:
        """Of two sets as alike as asked for, these parts of the smaller have one in common with the larger."""
        length = len(shingles) - math.ceil(self._similarity * len(shingles)) + 1
        return sorted(shingles, key=lambda shingle: (self._count[shingle], shingle))[:length]
