"""The user's own files: what they may hold, and what is said of rows that are malformed."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relayllm.errors import DataError
from relayllm.problems.prompting import prompt_text
from relayllm.problems.sources.files import Files
from relayllm.problems.sources.source import ProblemSet, SourceQuery

ROWS = [{"question": "What is 1+1?", "answer": "2"}, {"question": "Say 3,\n4", "answer": "3"}]


def read(path: Path) -> ProblemSet:
    return Files().read(SourceQuery(str(path), 100, 0, False))


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_files_same_rows_in_three_formats(tmp_path: Path) -> None:
    jsonl = written(tmp_path, "mine.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))
    pd.DataFrame(ROWS).to_csv(tmp_path / "mine.csv", index=False)
    pd.DataFrame(ROWS).to_parquet(tmp_path / "mine.parquet")
    sets = [read(path) for path in (jsonl, tmp_path / "mine.csv", tmp_path / "mine.parquet")]
    assert [[(p.question, p.answer, p.family) for p in each.problems] for each in sets] == [
        [("What is 1+1?", "2", "mine"), ("Say 3,\n4", "3", "mine")]] * 3
    assert sets[0].revision.startswith("sha256 ")


def test_files_other_columns_go_to_meta(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.jsonl", json.dumps({**ROWS[0], "level": 3, "id": "a", "solution": "easy"}))
    problem = read(path).problems[0]
    assert (problem.id, problem.solution, problem.meta) == ("mine-a", "easy", {"level": 3})


def test_files_choices_are_asked_and_graded_as_such(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.csv", 'question,answer,choices\nWhich?,B,"[""one"", ""two""]"\n')
    problem = read(path).problems[0]
    assert problem.meta["grading"] == "choice"
    assert "B. two" in prompt_text(problem)
    assert "letter" in prompt_text(problem)


@pytest.mark.parametrize(("name", "text", "said"), [
    ("a.jsonl", '{"question": "?", "answer": "1"}\n{"question": "?"\n', r"a\.jsonl:2: not JSON"),
    ("a.jsonl", '\n\n{"question": "?", "anwser": "1"}\n', r"a\.jsonl:3: no answer; its columns are question, anwser"),
    ("a.jsonl", '{"question": " ", "answer": "1"}\n', r"a\.jsonl:1: question is ' '"),
    ("a.jsonl", '["?", "1"]\n', r"a\.jsonl:1: a list"),
    ("a.jsonl", '{"question": "?", "answer": ["1"]}\n', r"a\.jsonl:1: answer is \['1'\]"),
    ("a.jsonl", '{"id": 1, "question": "?", "answer": 1}\n{"id": 1, "question": "!", "answer": 1}\n',
     r"a\.jsonl:2: id 'a-1' is also on line 1"),
    ("a.jsonl", '{"question": "?", "answer": "A", "choices": ["one"]}\n', r"a\.jsonl:1: choices"),
    ("a.jsonl", '{"question": "?", "answer": "1", "grading": "essay"}\n', r"a\.jsonl:1: grading is 'essay'"),
    ("a.jsonl", "", "no problems in it"),
    ("a.csv", "query,answer\n?,1\n", r"a\.csv:2: no question; .* query, answer.*\{a: \{question: query\}\}"),
    ("a.csv", "question,answer\n?,1\nWho, me?,2\n", r"a\.csv:3: 3 cells, the header has 2"),
    ("a.csv", "question,answer\n?,1\n!\n", r"a\.csv:3: 1 cells, the header has 2"),
    ("a.csv", "question,answer\n?,\n", r"a\.csv:2: answer is ''"),
    ("a.parquet", "no parquet", r"a\.parquet: not a Parquet file"),
    ("a.txt", "?", r"read from \.jsonl, \.json, \.csv, \.tsv, \.parquet.* not from \.txt"),
    ("a.jsonl", '{"question": "?", "answer": NaN}\n', r"a\.jsonl:1: answer is nan"),
    ("a.jsonl", '{"question": "?", "answer": "NaN"}\n', r"a\.jsonl:1: answer is 'NaN'"),
    ("a.jsonl", '{"question": "?", "answer": null}\n', r"a\.jsonl:1: answer is None"),
    ("a.jsonl", '{"question": "?", "answer": Infinity}\n', r"a\.jsonl:1: answer is inf"),
    ("a.csv", "question,answer\n?,nan\n", r"a\.csv:2: answer is 'nan'"),
    ("a.jsonl", '{"question": "?", "answer": "Six.\\n#### "}\n', r"a\.jsonl:1: its answer has nothing behind `####`"),
    ("a.jsonl", '{"question": "?", "answer": "1", "solution": [1]}\n', r"a\.jsonl:1: solution is \[1\], a list"),
    ("a.jsonl", '{"question": "?", "answer": "None"}\n', r"a\.jsonl:1: answer is 'None', .* a missing value"),
    ("a.jsonl", '{"question": "?", "answer": "null"}\n', r"a\.jsonl:1: answer is 'null', .* a missing value"),
    ("a.jsonl", f'{{"question": "?", "answer": {"9" * 5000}}}\n', r"a\.jsonl:1: not JSON that can be read"),
    ("a.csv", "question,answer,answer\n?,1,2\n", r"a\.csv:1: column answer is there twice"),
    ("a.csv", 'question,answer\n"one\n\ntwo",1\n\nthree,\n', r"a\.csv:6: answer is ''"),
    ("a.jsonl", '{"question": "?", "answer": "1", "tolerance": "high"}\n', r"a\.jsonl:1: tolerance is 'high'"),
    ("a.jsonl", '{"question": "?", "answer": "1", "instruction": 7}\n', r"a\.jsonl:1: instruction is 7"),
    ("a.jsonl", '{"problem": "?", "prompt": "1", "messages": []}\n',
     r"a\.jsonl:1: no question; its columns are problem, prompt, messages.*question: problem, answer: COLUMN"),
    ("a.jsonl.gz", "no gzip", r"a\.jsonl\.gz: not a whole \.gz file"),
    ("a.jsonl.zst", "no zstandard", r"a\.jsonl\.zst: not a whole \.zst file"),
    ("a.json", '{"question": "?"}', r"a\.json: not a list of JSON objects"),
])
def test_files_malformed_is_named_by_file_and_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(written(tmp_path, name, text))


@pytest.mark.parametrize(("column", "cells", "said"), [
    ("answer", [1.0, float("nan")], r"mine\.parquet:2: answer is None"),
    ("answer", ["1", None], r"mine\.parquet:2: answer is None"),
    ("answer", [pd.Timestamp(0), pd.Timestamp(1)], r"mine\.parquet:1: answer is .*, a Timestamp"),
    ("answer", [b"\xff", b"2"], r"mine\.parquet:1: answer is b'\\xff', a bytes"),
    ("photo", [b"\xff", b"2"], r"mine\.parquet:1: column photo is b'\\xff', a bytes"),
])
def test_files_parquet_cell_of_another_type_names_column_and_type(tmp_path: Path, column: str, cells: list,
                                                                  said: str) -> None:
    pd.DataFrame({"question": ["?", "!"], "answer": ["1", "2"], column: cells}).to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(DataError, match=said):
        read(tmp_path / "mine.parquet")


@pytest.mark.parametrize(("column", "gold"), [
    (pa.array([Decimal("18.50")]), "18.5"), (pa.array([Decimal("1800")]), "1800"), (pa.array([18.0]), "18"),
    (pa.array([0.1], pa.float32()), "0.1"), (pa.array([1e-7]), "0.0000001"), (pa.array([b"18"]), "18"),
    (pa.array(["18"]).dictionary_encode(), "18"), (pa.array(["18"], pa.large_string()), "18"),
])
def test_files_parquet_answer_that_has_one_reading_is_read(tmp_path: Path, column: pa.Array, gold: str) -> None:
    pq.write_table(pa.table({"question": ["?"], "answer": column}), tmp_path / "mine.parquet")
    assert read(tmp_path / "mine.parquet").problems[0].answer == gold


def test_files_parquet_times_and_decimals_are_kept_as_json_has_them(tmp_path: Path) -> None:
    moment = datetime.datetime(2026, 1, 2, 3, 4, 5)
    pq.write_table(pa.table({"question": ["?"], "answer": ["1"], "seen": pa.array([moment], pa.timestamp("ns")),
                             "price": [Decimal("2.50")], "nested": [{"day": moment.date(), "tags": [b"a"]}]}),
                   tmp_path / "mine.parquet")
    assert read(tmp_path / "mine.parquet").problems[0].meta == {
        "seen": "2026-01-02T03:04:05", "price": 2.5, "nested": {"day": "2026-01-02", "tags": ["a"]}}


def test_files_solution_of_several_parts_is_joined(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.jsonl", json.dumps({**ROWS[0], "solution": ["First.", "Then."]}))
    assert read(path).problems[0].solution == "First.\n\nThen."


def test_files_none_as_text_is_an_answer(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.jsonl", json.dumps({**ROWS[0], "answer": "None", "grading": "text"}))
    assert read(path).problems[0].answer == "None"


def test_files_parquet_nan_that_is_a_value_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": ["?"], "answer": [float("nan")]}), tmp_path / "mine.parquet")
    with pytest.raises(DataError, match=r"mine\.parquet:1: answer is nan"):
        read(tmp_path / "mine.parquet")


def test_files_nan_in_an_optional_column_is_no_value(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.jsonl", '{"question": "?", "answer": 7.0, "id": NaN, "solution": NaN, "level": NaN}')
    [problem] = read(path).problems
    assert (problem.id, problem.answer, problem.solution, problem.meta) == ("mine-00001", "7", "", {})


@pytest.mark.parametrize(("meta", "read_as"), [("hard", {"meta": "hard"}), ({"level": 3}, {"level": 3}), (None, {})])
def test_files_column_meta_of_any_kind_is_read(tmp_path: Path, meta: object, read_as: dict) -> None:
    path = written(tmp_path, "mine.jsonl", json.dumps({**ROWS[0], "meta": meta}))
    assert read(path).problems[0].meta == read_as


@pytest.mark.parametrize(("answer", "solution", "gold"), [
    ("2*9 = <<2*9=18>>18\n#### 18", "2*9 = <<2*9=18>>18", "18"),
    ("Many.\n#### 1,800", "Many.", "1800"),
    (r"So it is $\boxed{\frac{1}{2}}$.", r"So it is $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
    (r"So \boxed{3}, cut off \boxed{4", r"So \boxed{3}, cut off \boxed{4", "3"),
    ("18", "", "18"),
])
def test_files_worked_answer_is_split(tmp_path: Path, answer: str, solution: str, gold: str) -> None:
    path = written(tmp_path, "train.jsonl", json.dumps({"question": "?", "answer": answer}))
    [problem] = read(path).problems
    assert (problem.solution, problem.answer) == (solution, gold)


def test_files_text_answer_is_not_split(tmp_path: Path) -> None:
    path = written(tmp_path, "notes.jsonl", json.dumps({"question": "?", "answer": "#### Title", "grading": "text"}))
    assert read(path).problems[0].answer == "#### Title"


def test_files_missing_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file or folder .*mine\.jsonl"):
        read(tmp_path / "mine.jsonl")


def test_files_not_utf8_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"question": "é", "answer": "1"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"a\.jsonl:1: byte 15 is not UTF-8"):
        read(path)


def test_files_lie_in_the_projects_root_wherever_a_command_is_run(tmp_path, monkeypatch):
    (tmp_path / "root/own").mkdir(parents=True)
    (tmp_path / "root/own/mine.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}')
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path / "root"))
    monkeypatch.chdir(tmp_path)
    assert len(Files().read(SourceQuery("own/mine.jsonl", 5, 0, False)).problems) == 1
    with pytest.raises(DataError, match=r"no file or folder .*root/own/folder: params\.yaml, ingest names"):
        Files().read(SourceQuery("own/folder", 5, 0, False))
