"""JSONL, JSON, CSV, TSV and Parquet files, plain or compressed: how many rows they have, and the wanted ones of them.

Files are streamed, but for JSON, which is one value. Rows that are not wanted are not parsed; of a Parquet file, row
groups without a wanted row are not read.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
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


def open_bytes(path: Path) -> IO[bytes]:
    """The bytes of a file of text, unpacked where it is compressed, as a stream.

    Raises:
        DataError: the first bytes are those of another kind of file, or of text that is not UTF-8.
    """
    file = io.BufferedReader(PACKED.get(path.suffix.lower(), open_plain)(path), BLOCK)
    head = file.peek(4)[:4]
    other = next((what for mark, what in OTHER.items() if head.startswith(mark)), None)
    if other is None and b"\0" in head:
        other = "text in UTF-16 or no text: save it as UTF-8"
    if other is not None:
        file.close()
        raise DataError(f"{path}: this is {other}")
    return file


def open_plain(path: Path) -> Any:
    """The bytes as they are."""
    return path.open("rb", buffering=0)


def _open_zstd(path: Path) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


PACKED: Mapping[str, Callable[[Path], Any]] = {".gz": gzip.open, ".zst": _open_zstd, ".xz": lzma.open, ".bz2": bz2.open}
OTHER = {b"\xff\xfe": "text in UTF-16: save it as UTF-8", b"\xfe\xff": "text in UTF-16: save it as UTF-8",
         b"\x1f\x8b": "packed by gzip: end its name in .gz", b"(\xb5/\xfd": "packed by zstd: end its name in .zst",
         b"\xfd7zX": "packed by xz: end its name in .xz", b"PAR1": "Parquet: end its name in .parquet",
         b"PK\x03\x04": "a ZIP archive, as a workbook is, too: save its table as .csv, or unpack it"}
"""First bytes of files that are not what their ending says -> what they are, and what to do."""


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
    _distinct(place, [name for name, _ in pairs])
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
                        "as one list, or one a line in a .jsonl file")
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


def _csv_cells(path: Path, separator: str) -> NumberedRows:
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
            raise DataError(f"{path}:{start}: not CSV ({error}): a cell that begins with a quote ends with one, and "
                            "quotes in it are doubled") from error


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


def _csv_rows(path: Path, wanted: set[int], separator: str) -> NumberedRows:
    for index, (line, cells) in enumerate(_csv_cells(path, separator)):
        if index in wanted:
            yield line, cells


def _parquet_count(path: Path) -> int:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def _parquet_rows(path: Path, wanted: set[int]) -> NumberedRows:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:
        _distinct(path, file.schema_arrow.names)
        start = 0
        for group in range(file.metadata.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            if any(index in wanted for index in range(start, end)):
                yield from _group_rows(file, group, start, wanted)
            start = end


def _group_rows(file: Any, group: int, start: int, wanted: set[int]) -> NumberedRows:
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
    ".ndjson": FileFormat(lambda path: sum(1 for _ in _lines(path)), _jsonl_rows),
}
