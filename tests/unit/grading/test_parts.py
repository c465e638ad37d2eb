"""What an answer is made of, what stands in no box, and what is compared with what."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayllm.grading import TIME_LIMIT, grade
from relayllm.grading import values as sympy_values
from relayllm.grading.boxes import find_answer
from relayllm.grading.comparison import same
from relayllm.grading.gold import fault_of_gold
from relayllm.grading.numerals import same_number
from relayllm.grading.structure import Kind, read
from relayllm.problems.problem import Problem

PIECES = [*"0123xyn(){}[],.=<>+-*/^_|$ ", r"\frac", r"\sqrt", r"\text{or}", r"\le", r"\cup", r"\pm", r"\left(",
          r"\right)", r"\{", r"\}", r"\\", r"\begin{pmatrix}", r"\end{pmatrix}", "&", r"\in", r"\approx"]
NUMBERS = st.lists(st.integers(-999, 999), min_size=2, max_size=6)


@pytest.mark.parametrize(("text", "kind", "parts"), [
    ("5", Kind.VALUE, []), (r"\frac{1}{2}", Kind.VALUE, []), ("(a+5)(b+2)", Kind.VALUE, []), ("(5)", Kind.VALUE, []),
    (r"\max(1,2)", Kind.VALUE, []), ("3, 5, 7", Kind.LIST, ["3", "5", "7"]), ("8 or 4", Kind.LIST, ["8", "4"]),
    (r"1 \pm x", Kind.LIST, ["1 + x", "1 - x"]), ("(1,2], 3", Kind.LIST, ["(1,2]", "3"]),
    ("(1,2]", Kind.TUPLE, ["1", "2"]), (r"\left( 3, \frac{\pi}{2} \right)", Kind.TUPLE, ["3", r"\frac{\pi}{2}"]),
    ("(1,7,103, 105)", Kind.TUPLE, ["1", "7", "103", "105"]), ("1,000, 2,000", Kind.LIST, ["1000", "2000"]),
    ("2,251,252", Kind.VALUE, []), (r"\{1, 2\}", Kind.SET, ["1", "2"]),
    (r"(0,9) \cup (9,36)", Kind.UNION, ["(0,9)", "(9,36)"]), ("x = 5", Kind.RELATION, ["x", "5"]),
    (r"-2 \leq x < 7", Kind.RELATION, ["-2", "x", "7"]),
    (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", Kind.MATRIX, ["1", "2", "3", "4"]),
])
def test_read_names_kind_and_parts(text: str, kind: Kind, parts: list[str]) -> None:
    answer = read(text)
    assert (answer.kind, [part.text for part in answer.parts]) == (kind, parts)


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
@settings(deadline=None)
def test_read_takes_any_text_apart(text: str) -> None:
    answer = read(text)
    assert answer.parts or answer.kind in (Kind.VALUE, Kind.SET)


@given(NUMBERS, st.randoms())
@settings(deadline=None)
def test_same_lists_in_any_order_and_never_without_a_part(numbers: list[int], random) -> None:
    shuffled = random.sample(numbers, len(numbers))
    gold, answer = (", ".join(map(str, each)) for each in (numbers, shuffled))
    assert same(gold, answer)
    assert not same(gold, ", ".join(map(str, numbers[1:])))
    assert same(f"({gold})", f"({answer})") is (numbers == shuffled)


@given(st.fractions(-10**6, 10**6, max_denominator=10**4), st.integers(6, 12))
@settings(deadline=None)
def test_rounding_is_one_rule(value: Fraction, places: int) -> None:
    """A decimal of six digits or more counts when it is the value rounded; a finite decimal counts exactly."""
    units = round(value * 10**places)
    sign, (whole, rest) = "-" * (units < 0), divmod(abs(units), 10**places)
    exact = Fraction(units, 10**places) == value
    digits = len(str(abs(units)))
    finite = 10**400 % value.denominator == 0
    assert same_number(str(value), f"{sign}{whole}.{rest:0{places}d}", 0.0) is (exact or (digits >= 6 and not finite))


@pytest.mark.parametrize(("text", "found"), [
    ("The answer is **5**.", "5"), ("**Answer:** 18", "18"), ("### Final Answer\n\n**18**", "18"),
    ("**Answer:**\n\\[\n18\n\\]", "18"), (r"The answer is $\$36$.", r"\$36"), ("The answer is $36.", "$36"),
    ("Final Answer: The final answer is 7.78. I hope it is correct.", "7.78"),
    ("The answer is $8$ or $4$.", "8, 4"), (r"The answers are \(x\), \(y\), and \(z\).", "x, y, z"),
    ("The answer is 3.5 meters (or so).", "3.5 meters"), ("So the answer is 12 apples. He is happy.", "12 apples"),
    ("The answer is 5**2", "5**2"), ("#### 18\n\nQuestion: two?\n#### 2", "18"), ("#### Step 1: add\n#### 18", "18"),
    ("The answer is, 5.", "5"), ("The answer is, of course, 5.", "5"), ("The answer is,\n5", "5"),
    ("The answer is 5. But wait. The answer is 6.", "6"), ("The answer is 5. This answer is correct.", "5"),
    ("The answer is 5.\n\nQuestion: two?\nThe answer is 2.", "5"), (r"The final answer is: $\boxed{", None),
    ("No idea.", None), (r"\boxed{5}. \boxed{5}", "5"), (r"\boxed{1}, \boxed{2}", "1, 2"),
    ("\\boxed{1}\n\n\\boxed{2}", "2"), (r"\boxed{1}. So \boxed{2}", "2"), (r"$\boxed{1}$ and $\boxed{2}$", "1, 2"),
    (r"\boxed{5} and \boxed{", "5"), (r"\boxed{12} so \boxed{1", "12"), (r"\boxed{5} no, \boxed{12", None),
])
def test_find_answer_reads_what_is_claimed(text: str, found: str | None) -> None:
    assert find_answer(text) == found


@pytest.mark.parametrize(("answer", "fault"), [
    ("np.arcsin(2/9)", None), ("-5./4", None), (r"k_{\max }=n^{2}-3", None), (r"a_{1},a_{2}", None),
    (r"\frac{1}{5} a_{1}+\frac{4}{5} a_{2}", None), (r"(-\infty, 2) \cup\{3\}$.", None),
    (r"\frac{dN}{dt}=r N_{0}^{2}", None),
    ("7:30", None), ("7:30 a.m.", None), ("three dozen", None),
    ("t(0,9]", "no whole expression"), (r"\frac{5}{", "no whole expression"),
    ("5 6", "no whole expression"),
    ("a x, where a is an arbitrary integer", "holds words"), ("", "empty"),
])
def test_fault_of_gold_says_what_cannot_be_read(answer: str, fault: str | None) -> None:
    said = fault_of_gold(Problem("1", "?", answer), 20.0)
    assert said is None if fault is None else fault in str(said)


def test_same_parses_the_gold_answer_once_for_all_answers() -> None:
    gold, answers = r"\frac{7u+3}{w_{4}}", [rf"\frac{{7u+{n}}}{{w_4}}" for n in range(4, 12)]
    before = sympy_values.value_of.cache_info().misses
    assert not any(same(gold, answer) for answer in answers)
    assert sympy_values.value_of.cache_info().misses - before == 1 + len(answers)


def test_grade_of_a_hard_answer_says_that_time_was_over() -> None:
    result = grade(r"\boxed{9^{9^{9^9}}}", Problem("1", "?", r"\frac{x}{2}"), seconds=0.5)
    assert (result.correct, result.reason) == (False, TIME_LIMIT)
