"""JSONL, JSON, CSV, TSV and Parquet files, plain or compressed: how many rows they have, and the wanted ones of them.

Files are streamed, but for JSON, which is one value. Rows that are not wanted are not parsed; of a Parquet file, row
groups without a wanted row are not read.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from relayllm.errors import DataError
from relayllm.problems.sources.values import shortest_floats

BATCH = 256
"""Rows of a Parquet file that are in memory at a time."""
BLOCK = 1 << 20
LONGEST_CELL = 1 << 24
"""Characters of a cell of CSV; Python's own limit is 131,072."""
LISTS = "a list of objects is a .json file"

Rows = Iterator[tuple[int, Mapping[str, Any]]]


@dataclass(frozen=True)
class FileFormat:
    """How rows of one kind of file are counted and read; `rows` yields (line, cells) of the wanted positions."""

    count: Callable[[Path], int]
    rows: Callable[[Path, set[int]], Rows]


def format_of(path: Path) -> FileFormat:
    """The format that a file's ending says, compression aside."""
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    return FORMATS[name[name.rindex("."):]]


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked where it is compressed, as a stream."""
    if path.suffix == ".gz":
        return gzip.open(path)  # type: ignore[return-value]
    if path.suffix == ".zst":
        import pyarrow as pa

        return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"), BLOCK)
    return path.open("rb")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers, without a byte order mark."""
    with closing(open_bytes(path)) as file:
        for number, line in enumerate(file, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if text.strip():
                yield number, text


def _jsonl_rows(path: Path, wanted: set[int]) -> Rows:
    for index, (number, line) in enumerate(_lines(path)):
        if index in wanted:
            yield number, _json_object(path, number, line)


def _json_object(path: Path, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        cells = json.loads(line.decode("utf-8"), object_pairs_hook=partial(_object, f"{path}:{number}"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{number}: byte {error.start + 1} is not UTF-8: save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{number}: not JSON ({error.msg} at column {error.colno}); each line is one JSON "
                        f"object, {LISTS}") from error
    except RecursionError as error:
        raise DataError(f"{path}:{number}: nested too deeply to be read: leave the column out") from error
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"{path}:{number}: not JSON that can be read ({error}): put the number in quotes") from error
    if not isinstance(cells, dict):
        raise DataError(f"{path}:{number}: a {type(cells).__name__}, not a JSON object with question and answer; "
                        f"{LISTS}")
    return cells


def _object(place: str | Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _distinct(place, [name for name, _ in pairs])
    return dict(pairs)


def _json_array(path: Path) -> list[Mapping[str, Any]]:
    """The rows of a JSON file: a list of objects, or an object with one such list ("examples", "data")."""
    with closing(open_bytes(path)) as file:
        try:
            content = json.loads(file.read().decode("utf-8-sig"), object_pairs_hook=partial(_object, path))
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg}); one object a line is a .jsonl file"
                            ) from error
        except RecursionError as error:
            raise DataError(f"{path}: nested too deeply to be read") from error
    lists = [value for value in content.values() if isinstance(value, list)] if isinstance(content, dict) else [content]
    rows = lists[0] if len(lists) == 1 else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: not a list of JSON objects, nor an object with one such list")
    return rows


def _json_rows(path: Path, wanted: set[int]) -> Rows:
    for index, cells in enumerate(_json_array(path)):
        if index in wanted:
            yield index + 1, cells


def _csv_cells(path: Path, separator: str) -> Rows:
    """Records under the header, each with the line it begins on; empty lines are none."""
    header, start = list[str](), 1
    csv.field_size_limit(LONGEST_CELL)
    with closing(open_bytes(path)) as binary:
        reader = csv.reader(io.TextIOWrapper(binary, encoding="utf-8-sig", newline=""), strict=True,
                            delimiter=separator)
        try:
            for cells in reader:
                if cells and header:
                    yield start, _named(f"{path}:{start}", header, cells)
                elif cells:
                    header = _header(f"{path}:{start}", cells)
                start = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}:{start}: not CSV ({error}): close every quote") from error


def _header(place: str, names: list[str]) -> list[str]:
    names = [name.strip() for name in names]
    if len(names) == 1 and (other := next((mark for mark in ";|\t," if mark in names[0]), None)):
        raise DataError(f"{place}: the header is one column {names[0]!r:.80}, with {other!r} in it: separate columns "
                        "by commas, or by tabs in a .tsv file")
    return _distinct(place, names)


def _distinct(place: str | Path, names: list[str]) -> list[str]:
    """Names of columns, of which none is there twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{place}: column {', '.join(twice)} is there twice: rename or remove one")
    return names


def _named(place: str, header: list[str], cells: list[str]) -> Mapping[str, Any]:
    if len(cells) != len(header):
        raise DataError(f"{place}: {len(cells)} cells, the header has {len(header)}: quote cells that hold commas")
    return dict(zip(header, cells, strict=True))


def _csv_rows(path: Path, wanted: set[int], separator: str) -> Rows:
    for index, (line, cells) in enumerate(_csv_cells(path, separator)):
        if index in wanted:
            yield line, cells


def _parquet_count(path: Path) -> int:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def _parquet_rows(path: Path, wanted: set[int]) -> Rows:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:
        _distinct(path, file.schema_arrow.names)
        start = 0
        for group in range(file.metadata.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            if any(index in wanted for index in range(start, end)):
                yield from _group_rows(file, group, start, wanted)
            start = end


def _group_rows(file: Any, group: int, start: int, wanted: set[int]) -> Rows:
    for batch in file.iter_batches(BATCH, row_groups=[group], use_threads=False):
        kept = [offset for offset in range(batch.num_rows) if start + offset in wanted]
        for offset, cells in zip(kept, shortest_floats(batch.take(kept)).to_pylist() if kept else (), strict=True):
            yield start + offset + 1, cells
        start += batch.num_rows


FORMATS = {
    ".jsonl": FileFormat(lambda path: sum(1 for _ in _lines(path)), _jsonl_rows),
    ".json": FileFormat(lambda path: len(_json_array(path)), _json_rows),
    ".csv": FileFormat(lambda path: sum(1 for _ in _csv_cells(path, ",")), partial(_csv_rows, separator=",")),
    ".tsv": FileFormat(lambda path: sum(1 for _ in _csv_cells(path, "\t")), partial(_csv_rows, separator="\t")),
    ".parquet": FileFormat(_parquet_count, _parquet_rows),
}
