r"""Grading against hand-made case tables: what a person marking the paper would say."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from relayllm.errors import DataError
from relayllm.grading import grade
from relayllm.problems.catalogue import BENCHMARKS
from relayllm.problems.problem import Problem

CASES = Path(__file__).parent / "cases"
FAMILY = {"tiny-world": "pens"}


def tables() -> list[tuple[str, dict]]:
    return [(path.stem, case) for path in sorted(CASES.glob("*.json")) for case in json.loads(path.read_text())]


@pytest.mark.parametrize(("benchmark", "case"), [pytest.param(name, case, id=f"{name}: {case['case']}")
                                                 for name, case in tables()])
def test_grade_case_table(benchmark: str, case: dict) -> None:
    problem = Problem("1", "?", case["gold"], FAMILY.get(benchmark, benchmark), meta=case.get("meta", {}))
    result = grade(case["text"], problem, seconds=3.0)
    assert result.correct is case["correct"], result


def test_grade_tables_cover_every_hub_benchmark() -> None:
    tabled = {path.stem for path in CASES.glob("*.json")}
    assert {name for name, row in BENCHMARKS.items() if row.source == "huggingface"} <= tabled


def test_grade_gold_as_completion_is_right() -> None:
    for name, case in tables():
        problem = Problem("1", "?", case["gold"], FAMILY.get(name, name), meta=case.get("meta", {}))
        assert grade(f"\\boxed{{{case['gold']}}}", problem).correct, case


def test_grade_hostile_answer_ends_within_its_time_and_the_next_is_graded() -> None:
    problem = Problem("1", "?", r"\frac{x}{2}")
    result = grade(r"\boxed{9^{9^{9^9}}}", problem, seconds=0.5)
    assert (result.correct, result.reason) == (False, "time limit")
    assert grade(r"\boxed{\frac{2x}{4}}", problem).correct


def test_grade_works_outside_the_main_thread() -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(grade(r"\boxed{0.5x}", Problem("1", "?", r"\frac{x}{2}"))))
    thread.start()
    thread.join()
    assert found[0].correct


def test_grade_unknown_kind_says_which_there_are() -> None:
    with pytest.raises(DataError, match="math, choice, text"):
        grade("", Problem("p", "?", "1", meta={"grading": "essay"}))


def test_grade_problem_may_name_its_own_kind() -> None:
    problem = Problem("p", "?", "B", "mine", meta={"grading": "choice", "choices": ["one", "two"]})
    assert grade(r"\boxed{two}", problem).correct
