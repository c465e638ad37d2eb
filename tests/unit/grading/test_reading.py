"""Reading answers: whatever a model writes, nothing is raised and no time is lost."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayllm.grading.boxes import find_answer
from relayllm.grading.gold import fault_of_gold
from relayllm.grading.normal import canonical, number
from relayllm.problems.problem import Problem

LATEX = st.text(alphabet=list("0123456789{}\\ $,.()[]%^_-+/=abefoxdrctiqnsmul \n"), max_size=60)


@given(LATEX)
def test_canonical_is_stable(text: str) -> None:
    number(canonical(text))
    find_answer(text)
    find_answer("\\boxed" + text)


@given(st.integers(-10**9, 10**9))
def test_number_reads_thousands(value: int) -> None:
    assert number(canonical(f"{value:,}")) == value == number(canonical(f"${value}$"))


@pytest.mark.parametrize(("text", "value"), [
    ("4.5e3", 4500), (r"4.5 \times 10^{3}", 4500), ("10^9", 10**9), (r"\frac{-3}{4}", Fraction(-3, 4)), ("1/0", None),
    (r"50\%", Fraction(1, 2)), (".5", Fraction(1, 2)), ("5 cm", 5), ("1e999999999", None), ("9" * 5000, None),
    ("3 million", None), ("x", None), ("-", None), ("1,2", None),
])
def test_number_reads_plain_numbers_only(text: str, value: Fraction | int | None) -> None:
    assert number(canonical(text)) == value


@pytest.mark.parametrize("text", ["\\boxed{" * 5000, "\\boxed{" * 5000 + "}" * 5000, "\\boxed{1}" * 5000,
                                  "{" * 20000 + "\\boxed{1}", "$" * 20000,
                                  "\\text{" * 5000, "1," * 20000, "5 " + "a " * 20000,
                                  "5" + r" \text{a}   " * 500 + "x", "\\boxed{1}" + " $" * 5000 + "\\boxed{2}",
                                  "The answer is " * 5000, "#### " + "**" * 5000, "####" * 5000])
@pytest.mark.timeout(60)
def test_reading_long_nonsense_ends(text: str) -> None:
    answer = find_answer(text)
    canonical(answer if answer is not None else text)


@pytest.mark.parametrize(("problem", "good"), [
    (Problem("1", "?", "5"), True), (Problem("1", "?", r"\frac{\sqrt{2}}{3}"), True), (Problem("1", "?", ""), False),
    (Problem("1", "?", r"\frac{5}{"), False), (Problem("1", "?", "B", "mmlu-pro", meta={"choices": ["a", "b"]}), True),
    (Problem("1", "?", "C", "mmlu-pro", meta={"choices": ["a", "b"]}), False), (Problem("1", "?", "(A)", "bbeh"), True),
])
def test_readable_gold_answers(problem: Problem, good: bool) -> None:
    assert (fault_of_gold(problem) is None) is good
