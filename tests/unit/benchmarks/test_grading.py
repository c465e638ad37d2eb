"""Answers made from own gold answers: every right one is taken, no wrong one is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.answers import right, wrong
from benchmarks.grading import golds, main
from relayllm.grading import grade
from relayllm.problems.problem import Problem

GOLDS = ("48", "-7", r"\frac{5}{12}", "2.75", r"3\sqrt{7}", r"\frac{2\pi}{5}", "4k + 9", r"x^3 - 5x + 2", r"8 - 3i",
         r"\frac{a+4}{b}", r"\sqrt{2gh}", r"m_{2} v_{1}", "2, 7", "3,3,5", "(4,-9)", r"\left[1, \frac{5}{2}\right)",
         r"(-\infty, 1) \cup (6, \infty)", r"\{2, 5\}", r"y = 4x - 7", r"2x + 3y = 11", r"5 \pm \sqrt{6}",
         r"\text{Tuesday}", r"\binom{n}{3}", r"e^{-3t} \cos(2t)", r"2^{400}", r"E_{1} - \frac{1}{2} E_{2}",
         r"\lfloor \frac{n}{4} \rfloor")


@pytest.mark.parametrize("gold", GOLDS)
def test_answers_made_right_are_taken_and_made_wrong_are_not(gold: str) -> None:
    problem = Problem("1", "?", gold)
    assert [each for each in right(gold) if not grade(f"\\boxed{{{each[1]}}}", problem, 20.0).correct] == []
    assert [each for each in wrong(gold) if grade(f"\\boxed{{{each[1]}}}", problem, 20.0).correct] == []
    assert len(wrong(gold)) > 1


def test_golds_are_read_from_each_published_schema(tmp_path: Path) -> None:
    rows = [{"question": "?", "answer": "2+2=4\n#### 4"}, {"problem": "?", "answer": "x^2"}, {"target": 43.0},
            {"problem": "?", "solution": r"So \boxed{1.6} cm."},
            {"id": 7, "question": "?", "solution": [], "final_answer": ["$3$", "$5$"]}]
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [gold for _, gold in golds(path)] == ["4", "x^2", "43", "1.6", "3, 5"]


def test_main_counts_and_names_what_cannot_be_graded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.jsonl").write_text('{"answer": "12"}\n{"id": "odd", "answer": "t(0,4]"}\n')
    main([str(tmp_path), "--graders", "relayllm"])
    said = capsys.readouterr().out
    assert "mine odd cannot be graded" in said
    assert " 0/" in said
