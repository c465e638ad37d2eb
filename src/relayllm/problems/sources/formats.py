"""JSONL, JSON, CSV, TSV and Parquet files, plain or compressed: how many rows they have, and the wanted ones of them.

Files are streamed, but for JSON, which is one value. Rows that are not wanted are not parsed; of a Parquet file, row
groups without a wanted row are not read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from relayllm.errors import DataError
from relayllm.problems.sources.csv_files import csv_rows, distinct
from relayllm.problems.sources.opening import HEAD, PACKED, open_bytes, refuse_other
from relayllm.problems.sources.values import shortest_floats

BATCH = 256
"""Rows of a Parquet file that are in memory at a time."""
LISTS = "a list of objects is a .json file"
EACH_LINE = f"each line is one JSON object, {LISTS}"

NumberedRows = Iterator[tuple[int, Mapping[str, Any]]]


@dataclass(frozen=True)
class FileFormat:
    """How rows of one kind of file are counted and read; `rows` yields (line, cells) of the wanted positions."""

    count: Callable[[Path], int]
    rows: Callable[[Path, set[int]], NumberedRows]


def ending_of(name: str) -> str:
    """The ending of a file of problems as it is written, `.jsonl` or `.CSV.gz`; empty: it is none."""
    plain = name.lower()
    packed = next((each for each in PACKED if plain.endswith(each)), "")
    plain = plain.removesuffix(packed)
    kind = next((each for each in FORMATS if plain.endswith(each) and (not packed or each != ".parquet")), "")
    return name[len(name) - len(kind + packed):] if kind else ""


def format_of(path: Path) -> FileFormat:
    """The format that a file's ending says, compression aside."""
    kind = ending_of(path.name).lower()
    return FORMATS[kind[:kind.find(".", 1)] if kind.endswith(tuple(PACKED)) else kind]


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers, without a byte order mark."""
    with closing(open_bytes(path)) as file:
        for number, line in enumerate(file, start=1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if text.strip():
                yield number, text


def _jsonl_rows(path: Path, wanted: set[int]) -> NumberedRows:
    for index, (number, line) in enumerate(_lines(path)):
        if index in wanted:
            yield number, _json_object(path, number, line)


def _json_object(path: Path, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        cells = json.loads(line.decode("utf-8"), object_pairs_hook=partial(_object, f"{path}:{number}"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{number}: byte {error.start + 1} is not UTF-8: save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{number}: not JSON ({_said(error)}); {_remedy(error) or EACH_LINE}") from error
    except RecursionError as error:
        raise DataError(f"{path}:{number}: nested too deeply to be read: leave the column out") from error
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"{path}:{number}: not JSON that can be read ({error}): put the number in quotes") from error
    if not isinstance(cells, dict):
        raise DataError(f"{path}:{number}: a {type(cells).__name__}, not a JSON object with question and answer; "
                        f"{LISTS}")
    return cells


def _object(place: str | Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    distinct(place, [name for name, _ in pairs])
    return dict(pairs)


def _json_array(path: Path) -> list[Mapping[str, Any]]:
    """The rows of a JSON file: a list of objects, or an object with one such list ("examples", "data")."""
    with closing(open_bytes(path)) as file:
        text = file.read().decode("utf-8-sig")
    if not text.strip():
        return []
    try:
        content = json.loads(text, object_pairs_hook=partial(_object, path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({_said(error)}); "
                        f"{_remedy(error) or 'one object a line is a .jsonl file: rename it'}") from error
    except RecursionError as error:
        raise DataError(f"{path}: nested too deeply to be read") from error
    lists = {name: value for name, value in content.items() if isinstance(value, list)} if isinstance(
        content, dict) else {"": content}
    rows = next(iter(lists.values())) if len(lists) == 1 else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        inside = f" (it is an object of {', '.join(content)})"[:80] if isinstance(content, dict) else ""
        raise DataError(f"{path}: not a list of JSON objects, nor an object with one such list{inside}: write the rows "
                        "as one list (pandas: orient='records'), or one a line in a .jsonl file")
    return rows


def _said(error: json.JSONDecodeError) -> str:
    return f"{error.msg.removesuffix(' at')} at column {error.colno}"


def _remedy(error: json.JSONDecodeError) -> str:
    """What to do about the mistakes that are made most; empty for any other."""
    before, rest = error.doc[:error.pos].rstrip(), error.doc[error.pos:].lstrip()
    if (before.endswith(",") and rest[:1] in ("}", "]")) or rest.startswith(","):
        return "remove the comma that nothing follows"
    if rest.startswith("'"):
        return "write texts in double quotes, as json.dumps does"
    return ""


def _json_rows(path: Path, wanted: set[int]) -> NumberedRows:
    for index, cells in enumerate(_json_array(path)):
        if index in wanted:
            yield index + 1, cells


def _csv_rows(path: Path, wanted: set[int], separator: str) -> NumberedRows:
    for index, (line, cells) in enumerate(csv_rows(path, separator)):
        if index in wanted:
            yield line, cells


def _parquet_count(path: Path) -> int:
    import pyarrow.parquet as pq

    with path.open("rb") as plain:
        head = plain.read(HEAD)
    if not head.startswith(b"PAR1"):
        refuse_other(path, head)
    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def _parquet_rows(path: Path, wanted: set[int]) -> NumberedRows:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:
        distinct(path, file.schema_arrow.names)
        start = 0
        for group in range(file.metadata.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            if any(index in wanted for index in range(start, end)):
                yield from _group_rows(file, group, start, wanted)
            start = end


def _group_rows(file: Any, group: int, start: int, wanted: set[int]) -> NumberedRows:
    for batch in file.iter_batches(BATCH, row_groups=[group], use_threads=False):
        kept = [offset for offset in range(batch.num_rows) if start + offset in wanted]
        if kept:  # a slice, as `take` knows not every type (string_view)
            rows = shortest_floats(batch.slice(kept[0], kept[-1] - kept[0] + 1)).to_pylist()
            yield from ((start + offset + 1, rows[offset - kept[0]]) for offset in kept)
        start += batch.num_rows


FORMATS = {
    ".jsonl": FileFormat(lambda path: sum(1 for _ in _lines(path)), _jsonl_rows),
    ".json": FileFormat(lambda path: len(_json_array(path)), _json_rows),
    ".csv": FileFormat(lambda path: sum(1 for _ in csv_rows(path, ",")), partial(_csv_rows, separator=",")),
    ".tsv": FileFormat(lambda path: sum(1 for _ in csv_rows(path, "\t")), partial(_csv_rows, separator="\t")),
    ".parquet": FileFormat(_parquet_count, _parquet_rows),
    ".ndjson": FileFormat(lambda path: sum(1 for _ in _lines(path)), _jsonl_rows),
}
