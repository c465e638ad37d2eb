"""The validate stage on small ingested folders."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from relayllm.config import ValidateConfig
from relayllm.errors import DataError
from relayllm.problems.problem import Problem, write_problems
from relayllm.stages.validate import run

CONFIG = ValidateConfig(max_question_chars=200, max_answer_chars=20, near_duplicate_similarity=0.9)
TRAINING = [Problem(f"t{n}", f"Ana has {n} pens and buys {n + 1} more pens today. How many pens does Ana have?",
                    str(2 * n + 1), "pens", f"So it is \\boxed{{{2 * n + 1}}}.") for n in range(20)]
BENCHMARK = [replace(problem, id=f"b{n}", question=problem.question.replace(f"{n} pens", f"{n + 100} pens"),
                     answer=str(2 * n + 101), solution="") for n, problem in enumerate(TRAINING[:5])]


def ingested(folder: Path, training: Sequence[Problem] = TRAINING, benchmark: Sequence[Problem] = BENCHMARK,
             named: str = "pens") -> Path:
    entries = []
    for name, file, problems in (("train", "train.jsonl", training), (named, f"benchmarks/{named}.jsonl", benchmark)):
        write_problems(folder / file, problems)
        entries.append({"name": name, "file": file, "rows": len(problems),
                        "sha256": hashlib.sha256((folder / file).read_bytes()).hexdigest()})
    (folder / "manifest.json").write_text(json.dumps({"train": entries[0], "benchmarks": entries[1:]}))
    return folder


def pages(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_validate_good_data_writes_the_same_pages_every_time(tmp_path: Path) -> None:
    data = ingested(tmp_path / "data")
    for name in ("one", "two"):
        run(CONFIG, data=data, report=tmp_path / name)
    assert pages(tmp_path / "one") == pages(tmp_path / "two")
    assert "index.html" in pages(tmp_path / "one")


def test_validate_pages_fetch_nothing(tmp_path: Path) -> None:
    run(CONFIG, data=ingested(tmp_path / "data"), report=tmp_path / "report")
    for page in pages(tmp_path / "report").values():
        assert not re.search(rb'src="https?:|<link[^>]*https?:|url\([\'"]?https?:|<script', page)


def changed(index: int, **changes: object) -> list[Problem]:
    return [replace(problem, **changes) if n == index else problem for n, problem in enumerate(TRAINING)]


@pytest.mark.parametrize(("training", "said"), [
    (changed(3, id="t4"), r"id .*unique.*t4"),
    (changed(3, question=" "), r"question .*match regex.*t3"),
    (changed(3, question="Ana? " * 100), r"question_chars .*t3 \(question_chars: 500\)"),
    (changed(3, answer="", solution=""), r"answer .*t3"),
    (changed(3, answer=r"\frac{1}{", solution=""), r"gold_fault .*t3 \(gold_fault: .*no whole expression"),
    (changed(3, answer="8"), r"solution_agrees .*t3"),
    (changed(3, question=TRAINING[7].question), r"contradicts .*t7 \(contradicts: answer 15, but 7 in t3\)"),
    (changed(3, question=TRAINING[7].question.upper() + "\n"), r"contradicts .*t7 \(contradicts: .* in t3\)"),
    (changed(3, question=BENCHMARK[2].question.upper()), r"repeats .*t3 \(repeats: b2, score"),
    (changed(3, question=BENCHMARK[2].question.replace("today", "now")), r"repeats .*t3 \(repeats: b2, score"),
])
def test_validate_failure_names_the_row_and_keeps_the_pages(tmp_path: Path, training: list[Problem], said: str) -> None:
    config = CONFIG.model_copy(update={"near_duplicate_similarity": 0.7})
    with pytest.raises(DataError, match=said):
        run(config, data=ingested(tmp_path / "data", training), report=tmp_path / "report")
    assert (tmp_path / "report" / "index.html").is_file()


def test_validate_same_words_other_numbers_are_no_duplicates(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"near_duplicate_similarity": 0.1})
    run(config, data=ingested(tmp_path / "data"), report=tmp_path / "report")


def test_validate_equal_questions_with_equal_answers_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    training = changed(3, question=TRAINING[7].question, answer="15.0", solution="")
    run(CONFIG, data=ingested(tmp_path / "data", training), report=tmp_path / "report")
    assert re.search(r"note: training: again .*t7 \(again: t3\)", capsys.readouterr().out)


def test_validate_benchmark_of_the_users_own_that_contradicts_itself_fails(tmp_path: Path) -> None:
    twice = [*BENCHMARK, replace(BENCHMARK[0], id="b9", answer="1")]
    with pytest.raises(DataError, match=r"benchmarks: contradicts .*b9 \(contradicts: answer 1, but 101 in b0\)"):
        run(CONFIG, data=ingested(tmp_path / "data", benchmark=twice), report=tmp_path / "report")


def test_validate_gold_of_a_benchmark_that_cannot_be_read_is_named(tmp_path: Path,
                                                                   capsys: pytest.CaptureFixture) -> None:
    """Before anyone trains: in one of the user's own as an error, in a public one, which nobody can edit, as a note."""
    misprint = [*BENCHMARK, replace(BENCHMARK[0], id="b2045", question="For which t?", answer="t(0,4]")]
    said = r"benchmarks: gold_fault .*b2045 \(gold_fault: .*no whole expression"
    with pytest.raises(DataError, match=said):
        run(CONFIG, data=ingested(tmp_path / "own", benchmark=misprint), report=tmp_path / "report")
    capsys.readouterr()
    public = ingested(tmp_path / "public", benchmark=misprint, named="olympiadbench")
    run(CONFIG, data=public, report=tmp_path / "report")
    assert re.search(f"note: {said}", capsys.readouterr().out)


def test_validate_questions_of_a_template_are_counted_and_pass(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run(CONFIG, data=ingested(tmp_path / "data"), report=tmp_path / "report")
    assert "20 of 20 questions" in capsys.readouterr().out
    assert "20 of 20 questions" in (tmp_path / "report" / "index.html").read_text()


def test_validate_variant_is_noted_with_its_score(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run(CONFIG, data=ingested(tmp_path / "data", TRAINING[:2]), report=tmp_path / "report")
    assert re.search(r"note: training: variant_of .*t1 \(variant_of: b0, score 1\.00\)", capsys.readouterr().out)


def test_validate_empty_benchmark_fails(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"benchmarks: .*not empty"):
        run(CONFIG, data=ingested(tmp_path / "data", benchmark=[]), report=tmp_path / "report")


def test_validate_edited_file_is_refused(tmp_path: Path) -> None:
    data = ingested(tmp_path / "data")
    write_problems(data / "train.jsonl", TRAINING[:-1])
    with pytest.raises(DataError, match=r"train\.jsonl was changed after it was ingested"):
        run(CONFIG, data=data, report=tmp_path / "report")


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_validate_without_a_manifest_says_what_to_run(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match="relay ingest"):
        run(CONFIG, data=tmp_path, report=tmp_path / "report")
