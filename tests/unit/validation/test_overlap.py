"""Questions of a benchmark in training: what is a copy, a variant or a template, and that the search misses none."""

from __future__ import annotations

import random

import pytest

from relayllm.validation.overlap import Match, likeness, overlaps, texts

FARM = ("Farmer Odile keeps 14 hens on her farm and sells the eggs of 9 of them at the market every week. How many "
        "hens lay eggs that Odile keeps for herself?")
FILLER = [
    "A farmer paints a fence and then rests near the old market for a while.",
    "Every week they write letters to friends who keep hens and lay tiles.",
    "How many of them eat eggs that he sells for himself, and at what price?",
]
"""Other training questions: the words of a set, in lower case."""


def kinds(training: list[str], benchmark: str, similarity: float = 0.8) -> list[str | None]:
    found = overlaps([*training, *FILLER], {"b": benchmark}, similarity)[:len(training)]
    return [match and match.kind for match in found]


@pytest.mark.parametrize(("left", "right", "same"), [
    ("How many pens?", "how many PENS", True),
    ("Find $x$ with $x+1=2$.", "Find x with x + 1 = 2", True),
    (r"Find \(\dfrac{1}{2}\)", r"find \frac{1}{2}", True),
    ("There are 1,000 pens.", "There are 1000 pens", True),
    ("Find x+1", "Find x-1", False),
    ("Ana has 3 pens", "Ana has 4 pens", False),
    ("Ana has 3 pens and 4 cups", "Ana has 4 pens and 3 cups", False),
    ("What is the capital of France?", "What is the capital of Spain?", False),
    ("In 1990, what was the capital of all of France?", "In 1990, what was the capital of all of Spain?", False),
])
def test_overlaps_text_after_normalisation_decides(left: str, right: str, same: bool) -> None:
    [match] = overlaps([left], {"b": right}, 1.0)
    assert (match is not None and match.kind == "copy") == same


@pytest.mark.parametrize("planted", [
    FARM,
    FARM.replace("Odile", "Ruben"),
    FARM.upper(),
    f"12. {FARM}",
    f"Question 3: {FARM}",
    FARM + r" Please reason step by step, and put your final answer within \boxed{}.",
    f"7) {FARM.replace('Odile', 'Ruben')} Round to 2 decimals and explain every step of your solution.",
    FARM.replace("every week", "every month"),
])
def test_overlaps_planted_copy_is_found(planted: str) -> None:
    assert kinds([planted], FARM) == ["copy"]


def test_overlaps_benchmark_question_with_a_number_before_it_is_found() -> None:
    assert kinds([FARM], f"12. {FARM}") == ["copy"]


def test_overlaps_other_names_and_numbers_are_a_variant_with_its_score() -> None:
    planted = FARM.replace("Odile", "Ruben").replace("14", "25").replace("9", "6")
    found = overlaps([planted, *FILLER], {"b": FARM}, 0.8)
    assert found == [Match("b", 1.0, "variant"), None, None, None]
    assert str(found[0]) == "b, score 1.00"


def test_overlaps_form_that_training_repeats_is_a_template() -> None:
    repeated = [FARM.replace("14", str(20 + n)).replace("9", str(n)) for n in range(5)]
    assert kinds(repeated, FARM) == ["template"] * 5
    assert kinds(repeated[:3], FARM) == ["variant"] * 3


def test_overlaps_copy_among_questions_of_its_template_is_found() -> None:
    repeated = [FARM.replace("14", str(20 + n)).replace("9", str(n)) for n in range(5)]
    assert kinds([*repeated, f"1. {FARM}"], FARM) == [*["template"] * 5, "copy"]


@pytest.mark.parametrize(("numbers", "kind"), [((14, 9, 3), "copy"), ((14, 9), "template")])
def test_overlaps_renamed_copy_within_a_template_is_told_by_three_numbers(numbers: tuple[int, ...], kind: str) -> None:
    """Two equal numbers meet by chance in a family of problems; three in a row do not."""
    ask = FARM.replace("14", "{}").replace("9", "{}") + " And {} more?" * (len(numbers) - 2)
    repeated = [ask.format(*(number + 20 + n for number in numbers)) for n in range(5)]
    planted = ask.format(*numbers).replace("Odile", "Ruben").replace("Farmer", "Peasant")
    assert kinds([*repeated, planted], ask.format(*numbers), 0.95)[5] == kind


@pytest.mark.parametrize(("often", "kind"), [(5, "copy"), (1, None)])
def test_overlaps_word_that_is_seldom_no_name_is_a_name(often: int, kind: str | None) -> None:
    """Lily is a name beside a lily, as long as it is one most of the time; "Give" at a line's start is none."""
    asked = "Today Amy made 20 more friends than Lily. Yesterday Lily made 50, and how many did Lily make with Amy?"
    others = [*[f"Today Bo and Lily met {n} cats." for n in range(often - 3)], "Is a lily white? Give its colour."]
    planted = asked.replace("Lily", "Ulrike").replace("Amy", "Tadeo")
    assert kinds([planted, *others], asked, 0.95)[0] == kind


def test_overlaps_short_question_within_a_long_one_is_no_copy() -> None:
    assert kinds([f"{FARM} And what is 14 + 9?"], "What is 14 + 9?") == [None]


@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.8, 1.0])
def test_overlaps_finds_what_comparing_all_pairs_finds(similarity: float) -> None:
    rng = random.Random(0)
    words = [f"word{chr(97 + n)}" for n in range(12)]
    questions = [" ".join(rng.choices(words, k=rng.randint(3, 24))) for _ in range(300)]
    training, held_out = questions[:200], {f"b{n}": text for n, text in enumerate(questions[200:])}
    compared = texts(held_out.values())
    for text, match in zip(texts(training), overlaps(training, held_out, similarity), strict=True):
        scores = [likeness(text.form, other.form) for other in compared]
        assert (match is not None) == (max(scores) >= similarity)
        if match is not None and match.kind != "template":
            assert match.score == max(scores)


def test_overlaps_thousands_of_one_form_are_compared_once() -> None:
    ask = "Ana has {} boxes with {} pens in each box and {} loose pens. How many pens does Ana have in all?".format
    training = [ask(n % 7, n // 7, 3) for n in range(4000)]
    held_out = {f"b{n}": ask(n % 7, n // 7, 8) for n in range(600)}
    assert {match and match.kind for match in overlaps(training, held_out, 0.95)} == {"template"}
