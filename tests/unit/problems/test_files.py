"""The user's own files: what they may hold, and what is said of rows that are malformed."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
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
    assert (problem.id, problem.solution, problem.meta) == ("a", "easy", {"level": 3})


def test_files_choices_are_asked_and_graded_as_such(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.csv", 'question,answer,choices\nWhich?,B,"[""one"", ""two""]"\n')
    problem = read(path).problems[0]
    assert problem.meta["grading"] == "choice"
    assert "B. two" in prompt_text(problem)
    assert "letter" in prompt_text(problem)


@pytest.mark.parametrize(("name", "text", "said"), [
    ("a.jsonl", '{"question": "?", "answer": "1"}\n{"question": "?"\n', r"a\.jsonl:2: not JSON"),
    ("a.jsonl", '\n\n{"question": "?", "anwser": "1"}\n', r"a\.jsonl:3: answer is None"),
    ("a.jsonl", '{"question": " ", "answer": "1"}\n', r"a\.jsonl:1: question is ' '"),
    ("a.jsonl", '["?", "1"]\n', r"a\.jsonl:1: a list"),
    ("a.jsonl", '{"question": "?", "answer": ["1"]}\n', r"a\.jsonl:1: answer is \['1'\]"),
    ("a.jsonl", '{"id": 1, "question": "?", "answer": 1}\n{"id": 1, "question": "!", "answer": 1}\n',
     r"a\.jsonl:2: id '1' is also on line 1"),
    ("a.jsonl", '{"question": "?", "answer": "A", "choices": ["one"]}\n', r"a\.jsonl:1: choices"),
    ("a.jsonl", '{"question": "?", "answer": "1", "grading": "essay"}\n', r"a\.jsonl:1: grading is 'essay'"),
    ("a.jsonl", "", "no problems in it"),
    ("a.csv", "query,answer\n?,1\n", r"a\.csv:1: the header names query, answer"),
    ("a.csv", "question,answer\n?,1\nWho, me?,2\n", r"a\.csv:3: 3 cells, the header has 2"),
    ("a.csv", "question,answer\n?,1\n!\n", r"a\.csv:3: 1 cells, the header has 2"),
    ("a.csv", "question,answer\n?,\n", r"a\.csv:2: answer is ''"),
    ("a.parquet", "no parquet", r"a\.parquet: not a Parquet file"),
    ("a.txt", "?", r"read from \.jsonl, \.csv, \.parquet files"),
])
def test_files_malformed_is_named_by_file_and_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(written(tmp_path, name, text))


def test_files_missing_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file .*mine\.jsonl"):
        read(tmp_path / "mine.jsonl")


def test_files_not_utf8_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"question": "é", "answer": "1"}'.encode("latin-1"))
    with pytest.raises(DataError, match="UTF-8"):
        read(path)
