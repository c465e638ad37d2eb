"""Files read in pieces: what a limit leaves unread, compressed files, folders of shards."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tracemalloc
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relayllm.config import IngestConfig
from relayllm.errors import ConfigError, DataError
from relayllm.problems.sources.files import Files
from relayllm.problems.sources.records import content_key, digest, is_path, own_paths, records, set_name, shards
from relayllm.problems.sources.source import SourceQuery, sample

ROWS = [{"question": f"What is {n}+{n}?", "answer": str(2 * n)} for n in range(40)]


def lines(rows: list[dict]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def cells(path: Path, limit: int = 100, seed: int = 0) -> list[dict]:
    return [dict(record.cells) for record in records(shards(str(path)), limit, seed)]


@pytest.fixture(params=["mine.jsonl", "mine.jsonl.gz", "mine.jsonl.zst", "mine.json", "mine.csv", "mine.csv.gz",
                        "mine.parquet", "bom.jsonl", "mine.ndjson", "mine.jsonl.xz", "mine.jsonl.bz2", "MINE.JSONL",
                        "Mine.Json", "MINE.CSV.GZ", "MINE.PARQUET"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same rows in one kind of file."""
    path = tmp_path / request.param
    table = pd.DataFrame(ROWS)
    if path.suffix.lower() == ".parquet":
        pq.write_table(pa.Table.from_pandas(table), path, row_group_size=7)
    else:
        plain = {".jsonl": lines(ROWS), ".json": json.dumps(ROWS).encode(), ".csv": table.to_csv(index=False).encode()}
        text = next((plain[kind] for kind in plain if kind in path.name.lower()), lines(ROWS))
        if path.name == "bom.jsonl":
            text = b"\xef\xbb\xbf" + text
        if path.suffix == ".zst":
            with pa.CompressedOutputStream(str(path), "zstd") as file:
                file.write(text)
        else:
            packing = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}.get(path.suffix.lower(), bytes)
            path.write_bytes(packing(text))
    return path


def test_records_every_kind_of_file_has_the_same_rows(written: Path) -> None:
    assert cells(written) == ROWS


@pytest.mark.parametrize("seed", [0, 1])
def test_records_limit_draws_by_seed_in_the_files_order(written: Path, seed: int) -> None:
    assert cells(written, 6, seed) == list(sample(ROWS, 6, seed))


def test_records_rows_that_are_not_drawn_are_not_parsed(tmp_path: Path) -> None:
    drawn = {record["answer"] for record in sample(ROWS, 5, 0)}
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" if row["answer"] in drawn else "{broken\n" for row in ROWS))
    assert cells(path, 5) == list(sample(ROWS, 5, 0))
    with pytest.raises(DataError, match="not JSON"):
        cells(path)


def test_records_row_groups_without_a_drawn_row_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=1, compression="none", use_dictionary=False)
    drawn = {int(row["answer"]) // 2 for row in sample(ROWS, 5, 0)}
    metadata, content = pq.ParquetFile(path).metadata, bytearray(path.read_bytes())
    for group in set(range(40)) - drawn:
        start = metadata.row_group(group).column(0).data_page_offset
        content[start:start + metadata.row_group(group).column(0).total_compressed_size] = b"\xff" * (
            metadata.row_group(group).column(0).total_compressed_size)
    path.write_bytes(content)
    assert cells(path, 5) == list(sample(ROWS, 5, 0))
    with pytest.raises(DataError, match="not a Parquet file"):
        cells(path)


def test_records_lines_that_are_not_drawn_are_not_held(tmp_path: Path) -> None:
    """16 MiB of rows, of which a few are held at a time, to count and to draw."""
    path = tmp_path / "mine.jsonl"
    with path.open("w") as file:
        for number in range(16 * 1024):
            file.write(json.dumps({"question": f"{number} " + "x" * 1000, "answer": "1"}) + "\n")
    tracemalloc.start()
    try:
        assert len(cells(path, 5)) == 5
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 8
    finally:
        tracemalloc.stop()


def test_records_one_row_group_is_read_in_pieces(tmp_path: Path) -> None:
    """As most tools write it: small on the disk, large in memory, and with one group of rows."""
    path, count = tmp_path / "mine.parquet", 64 * 1024
    pq.write_table(pa.table({"question": [f"{number} " + "x" * 1000 for number in range(count)],
                             "answer": ["1"] * count}), path, compression="zstd")
    assert (pq.ParquetFile(path).metadata.num_row_groups, path.stat().st_size < 2**21) == (1, True)
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.system_memory_pool())
    pa.set_memory_pool(pool)
    try:
        assert len(cells(path, 5)) == 5
    finally:
        pa.set_memory_pool(before)
    assert 0 < pool.max_memory() < count * 1000 / 2


def test_records_parquet_column_that_is_nested_keeps_its_form(tmp_path: Path) -> None:
    nested = [{"messages": [{"role": "user", "content": "?"}], "reward": {"truth": "2"}}]
    pq.write_table(pa.Table.from_pylist(nested), tmp_path / "mine.parquet")
    assert cells(tmp_path / "mine.parquet") == nested
    columns = {"question": "messages.0.content", "answer": "reward.truth"}
    found = Files().read(SourceQuery(str(tmp_path / "mine.parquet"), 9, 0, True, columns=columns))
    assert [(problem.question, problem.answer) for problem in found.problems] == [("?", "2")]


def test_records_folder_of_shards_is_one_set(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "part-0.jsonl").write_bytes(lines(ROWS[:25]))
    (folder / "part-1.jsonl.gz").write_bytes(gzip.compress(lines(ROWS[25:])))
    (folder / "README.md").write_text("about it")
    assert cells(folder) == ROWS
    assert cells(folder, 6) == list(sample(ROWS, 6, 0))
    found = Files().read(SourceQuery(str(folder), 100, 0, True))
    assert (found.name, found.problems[0].id, found.problems[-1].id) == ("mine", "mine-part-0-00001",
                                                                         "mine-part-1-00015")
    assert found.revision == f"sha256 {digest(shards(str(folder)))}"


def test_records_folder_with_two_splits_is_refused(tmp_path: Path) -> None:
    for name in ("train-0.parquet", "train-1.parquet", "test-0.parquet"):
        pd.DataFrame(ROWS).to_parquet(tmp_path / name)
    with pytest.raises(ConfigError, match=r"holds the splits test, train: name one, as .*/test\*\.parquet"):
        shards(str(tmp_path))
    assert len(cells(tmp_path / "train-*.parquet", 1000)) == 2 * len(ROWS)


def test_content_key_changes_with_the_content(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    assert content_key(path) == ""
    path.write_bytes(lines(ROWS))
    first = content_key(path)
    path.write_bytes(lines(ROWS[:-1]))
    assert content_key(path) not in ("", first)


def test_own_paths_are_the_files_that_params_name() -> None:
    config = IngestConfig(source="files", train="mine.csv", train_problems=1, benchmarks=["pens", "exam.jsonl"],
                          benchmark_problems=1, copies={"gsm8k": "gsm8k.jsonl"}, columns={}, seed=0)
    assert own_paths(config) == ["mine.csv", "exam.jsonl", "gsm8k.jsonl"]


@pytest.mark.parametrize(("name", "expected"), [
    ("a/mine.jsonl", "mine"), ("mine.v2.jsonl.gz", "mine.v2"), ("a/train-*.parquet", "train"), ("a/*.csv", "a"),
    ("a/shards/", "shards"), ("Mine.JSONL", "Mine"), ("mine.ndjson", "mine"), ("mine.csv.XZ", "mine"),
])
def test_set_name_is_the_path_without_folder_and_ending(name: str, expected: str) -> None:
    assert set_name(name) == expected


@pytest.mark.parametrize(("name", "path"), [("gsm8k", False), ("mine.csv", True), ("a/b", True), ("math-500", False),
                                            ("MINE.JSONL", True), ("mine.jsonl.gz", True), ("mine.parquet.gz", False)])
def test_is_path_tells_files_from_rows_of_the_catalogue(name: str, path: bool) -> None:
    assert is_path(name) == path
