"""Files as people have them: read right, or refused with file, line, fact and remedy."""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relayllm.errors import ConfigError, DataError
from relayllm.problems.problem import Problem
from relayllm.problems.sources.files import Files
from relayllm.problems.sources.source import SourceQuery

GOOD = {"question": "q", "answer": "5"}


def read(path: Path, columns: dict[str, str] | None = None) -> tuple[Problem, ...]:
    return Files().read(SourceQuery(str(path), 10, 0, training=True, columns=columns or {})).problems


@pytest.mark.parametrize(("name", "content"), [
    ("a.tsv", "question\tanswer\nq, then\t5\n"), ("a.csv", 'question, answer\n"q, then", 5\n'),
])
def test_files_columns_apart_by_tabs_or_with_spaces_are_read(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert [(each.question, each.answer) for each in read(tmp_path / name)] == [("q, then", "5")]


@pytest.mark.parametrize(("name", "content"), [
    ("a.csv", "id;question;answer\r\n1;q, then;5\r\n"),
    ("a.csv", "\ufeffsep=;\r\nquestion;answer\r\nq, then;5\r\n"),
    ("a.csv", '"question, all of it";"answer"\n"q, then";"5"\n'),
    ("a.csv", 'sep=,\nquestion,answer\n"q, then",5\n'),
    ("a.csv", "question\tanswer\nq, then\t5\n"),
    ("a.tsv", "question|answer\nq, then|5\n"),
])
def test_files_mark_that_separates_columns_is_read_from_the_header(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    columns = {"question": "question, all of it"} if "all of it" in content else None
    assert [(each.question, each.answer) for each in read(tmp_path / name, columns)] == [("q, then", "5")]


@pytest.mark.parametrize("content", ["question,answer,\nq,5,\nr,6,\n", "question,answer,,\nq,5\nr,6\n",
                                     "question,answer\nq,5,,\n,,\nr,6\n , \n"])
def test_files_marks_at_the_ends_of_lines_make_no_columns_and_no_rows(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    assert [(each.question, each.answer, each.meta) for each in read(tmp_path / "a.csv")] == [("q", "5", {}),
                                                                                              ("r", "6", {})]


def test_files_parquet_of_text_views_is_read(tmp_path: Path) -> None:
    text = pa.array(["q", "r"], pa.string_view())
    pq.write_table(pa.table({"question": text, "answer": text.cast(pa.string()).dictionary_encode()}),
                   tmp_path / "a.parquet")
    assert [(each.question, each.answer) for each in read(tmp_path / "a.parquet")] == [("q", "q"), ("r", "r")]


def test_files_link_to_nothing_among_shards_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps(GOOD))
    (tmp_path / "b.jsonl").symlink_to("gone.jsonl")
    with pytest.raises(DataError, match=r"b\.jsonl: a link to gone\.jsonl, which is not there"):
        read(tmp_path)


def test_files_empty_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ingest names an empty path"):
        Files().read(SourceQuery("", 10, 0, training=True))


def test_files_long_cell_of_csv_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\n" + "q" * 200_000 + ",5\n")
    assert len(read(tmp_path / "a.csv")[0].question) == 200_000


@pytest.mark.parametrize(("name", "content", "said"), [
    ("a.csv", "question;answer\nq;3,5\n", r"a.csv:2: answer is '3,5'.*a decimal or a thousand: write decimals with"),
    ("a.csv", "question;answer\nq, then,5\n", r"a.csv:2: 1 cells, the header has 2: quote cells that hold ';'"),
    ("a.csv", "question,answer,\nq,5,6\n", r"a.csv:2: 3 cells, the header has 2"),
    ("a.csv", "question,,answer,,note\nq,,5,,\n", r"a.csv:1: column without a name is there twice"),
    ("a.csv", "QUESTION,Gold\nq,5\n", r"\{question: QUESTION, answer: Gold\}.*; the first line names the columns"),
    ("a.jsonl", json.dumps([GOOD]), r"a.jsonl:1: a list.*\.json file"),
    ("a.jsonl", json.dumps([GOOD], indent=1), r"a.jsonl:1: not JSON.*\.json file"),
    ("a.jsonl", '{"question": "q", "answer": "5", "answer": "6"}', r"a.jsonl:1: .*column answer is there twice"),
    ("a.json", '[{"question": "q", "answer": "5", "answer": "6"}]', r"a.json: .*column answer is there twice"),
    ("a.jsonl", '{"question": "\\ud83d", "answer": "5"}', r"a.jsonl:1: a character is cut in two \(.ud83d"),
    ("a.jsonl", '{"question": "q", "answer": "5", "note": ["\\ud83d"]}', r"a.jsonl:1: a character is cut in two"),
    ("a.jsonl", '{"question": "q", "answer": "5", "x": ' + "[" * 99999 + "]" * 99999 + "}", r"a.jsonl:1: nested"),
    ("a.json", "[" * 99999, r"a.json: nested"),
    ("a.json", "", r"a.json: no problems in it"),
    ("a.jsonl", '{"question": "q", "answer": "5",}', r"a.jsonl:1: not JSON \(.* at column 3\d\); remove the comma"),
    ("a.jsonl", '{"question": "q", "answer": "5"},\n', r"a.jsonl:1: not JSON \(Extra data .*\); remove the comma"),
    ("a.json", '[{"question": "q", "answer": "5"},]', r"a.json:1: not JSON \(.* at column \d+\); remove the comma"),
    ("a.json", '{"question": "q", "answer": "5"}\n' * 2, r"a.json:2: not JSON .*is a \.jsonl file: rename it"),
    ("a.jsonl", "{'question': 'q', 'answer': '5'}", r"a.jsonl:1: not JSON .*double quotes, as json.dumps does"),
    ("a.json", '{"train": [], "test": []}', r"a.json: not a list .*\(it is an object of train, test\).*\.jsonl file"),
    ("a.tsv", 'question\tanswer\n"Hi" he said\t5\n', r"a.tsv:2: not CSV .*begins with a quote ends with one"),
    ("a.jsonl", json.dumps(GOOD).encode("utf-16"), r"a.jsonl: this is text in UTF-16: save it as UTF-8"),
    ("a.csv", "question,answer\nq,5\n".encode("utf-16-le"), r"a.csv: this is text in UTF-16 or no text: .*UTF-8"),
    ("a.csv", "question,answer\nq,5\n\xe9,5\n".encode("latin-1"), r"a.csv:3: byte 0xe9 is not UTF-8"),
    ("a.jsonl", gzip.compress(b"{}", mtime=0), r"a.jsonl: this is packed by gzip: end its name in \.gz"),
    ("a.csv", b"PK\x03\x04" + bytes(30), r"a.csv: this is a ZIP archive, as a workbook is"),
    ("a.csv", b"\xd0\xcf\x11\xe0" + bytes(30), r"a.csv: this is a workbook of an old Excel: save its table as \.csv"),
    ("a.jsonl", "version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", r"a.jsonl: this is what git-lfs has in"),
    ("a.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", r"a.parquet: .*`git lfs pull`"),
    ("a.csv", "\n<!DOCTYPE html>\n<p>not, found", r"a.csv: this is a web page: download the file itself"),
    ("a.json", '{"question": {"0": "q"}, "answer": {"0": "5"}}', r"a.json: .*as one list \(pandas: orient='records'\)"),
    ("a.json", b"PAR1" + bytes(30), r"a.json: this is Parquet: end its name in \.parquet"),
    ("a.jsonl.xz", b"no xz", r"a.jsonl.xz: not a whole \.xz file"),
    ("a.jsonl.gz", gzip.compress(b"{}", mtime=0)[:10] + b"\xff" * 20, r"a.jsonl.gz: not a whole \.gz file"),
    ("a.zip", b"", r"a.zip: problems are read from .*, not from \.zip: rename, unpack or convert it"),
    ("a.jsonl", json.dumps({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"},
                                         {"role": "assistant", "content": "5"}]}),
     r"\{question: messages\.1\.content, answer: messages\.2\.content\}"),
    ("a.jsonl", json.dumps({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "5"}]}),
     r"\{question: conversations\.0\.value, answer: conversations\.1\.value\}"),
    ("a.jsonl", json.dumps({"prompt": [{"role": "user", "content": "q"}], "reward_model": {"ground_truth": "5"}}),
     r"\{question: prompt\.0\.content, answer: reward_model\.ground_truth\}"),
    ("a.jsonl", json.dumps({"question": "q", "answer": {"value": "5"}}), r"a dict; .*`answer: answer\.value`"),
    ("a.jsonl", json.dumps({**GOOD, "choices": {"text": ["a", "b"]}}), r"`choices: choices\.text`"),
])
def test_files_what_would_be_read_wrongly_is_refused(tmp_path: Path, name: str, content: str | bytes,
                                                     said: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=said):
        read(tmp_path / name)


def test_files_mapped_cell_without_a_value_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": [{"content": "q"}, {"content": None}]}))
    with pytest.raises(DataError, match=r"a.jsonl:1: answer is None"):
        read(tmp_path / "a.jsonl", {"question": "messages.0.content", "answer": "messages.1.content"})


def test_files_parquet_with_a_column_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["q"]), pa.array(["5"]), pa.array(["6"])], ["question", "answer", "answer"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="column answer is there twice"):
        read(tmp_path / "a.parquet")


def test_files_parquet_time_that_python_has_no_date_for_is_refused(tmp_path: Path) -> None:
    far = pa.array([datetime.datetime(9999, 1, 1).timestamp() * 10], pa.float64()).cast(pa.int64())
    pq.write_table(pa.table({"question": ["q"], "answer": ["5"], "when": far.cast(pa.timestamp("s"))}),
                   tmp_path / "a.parquet")
    with pytest.raises(DataError, match="a cell cannot be read"):
        read(tmp_path / "a.parquet")


def test_files_folder_of_save_to_disk_is_refused_by_that_name(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(DataError, match=r"save_to_disk.*to_parquet"):
        read(tmp_path)
