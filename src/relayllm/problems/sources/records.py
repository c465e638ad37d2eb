"""Rows of JSONL, JSON, CSV and Parquet files, read in pieces: plain or compressed, one file, a glob or a folder.

Only the rows that a limit draws are parsed: lines are counted, a Parquet file's footer is asked, and what was not
drawn is skipped (of a Parquet file, whole row groups).
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from relayllm.config import IngestConfig
from relayllm.errors import ConfigError, DataError, RelayError
from relayllm.problems.sources.values import shortest_floats

COMPRESSED = (".gz", ".zst")
TEXT_ENDINGS = (".jsonl", ".json", ".csv")
ENDINGS = (*TEXT_ENDINGS, ".parquet", *(ending + packed for ending in TEXT_ENDINGS for packed in COMPRESSED))
SPLITS = ("train", "test", "validation", "valid", "dev")
BATCH = 256
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a set, with the place where a person finds it."""

    path: Path
    line: int
    """Line in the file, from 1; in Parquet and JSON the row."""
    index: int
    """Position in the whole set, from 0."""
    cells: Mapping[str, Any]

    @property
    def place(self) -> str:
        """`FILE:LINE`, as an error names it."""
        return f"{self.path}:{self.line}"


Rows = Iterator[tuple[int, Mapping[str, Any]]]
Wanted = Callable[[int], bool]


def is_path(name: str) -> bool:
    """Whether a name of params.yaml means a file, a glob or a folder, and not a row of the catalogue."""
    return name.endswith(ENDINGS) or "/" in name or "*" in name or Path(name).is_dir()


def set_name(name: str) -> str:
    """Name of the set that lies at a path: `mine` for `a/mine.jsonl.gz`, `b/mine/` and `b/mine-*.parquet`."""
    path = Path(name)
    stem = path.name.split("*")[0].rstrip("-_.") or path.parent.name
    ending = max((ending for ending in ENDINGS if stem.endswith(ending)), key=len, default="")
    return stem.removesuffix(ending)


def shards(name: str) -> list[Path]:
    """The files at a path, a glob or a folder, in the order of their names.

    Raises:
        ConfigError: a folder holds several splits, so that training and test problems would be read as one set.
        DataError: nothing there, or nothing that can be read.
    """
    path = Path(name)
    if path.is_dir():
        found = sorted(each for each in path.rglob("*") if each.name.endswith(ENDINGS) and each.is_file()
                       and not any(part.startswith(".") for part in each.relative_to(path).parts))
        splits = sorted({split for each in found for split in SPLITS if each.name.startswith(split)})
        if len(splits) > 1:
            raise ConfigError(f"{path} holds the splits {', '.join(splits)}: name one, as {path}/{splits[0]}*"
                              f"{found[0].suffix}")
    else:
        found = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    if not found:
        raise DataError(f"{path}: no file ending in {', '.join(ENDINGS)}")
    for each in found:
        if not each.name.endswith(ENDINGS):
            raise DataError(f"{each}: problems are read from {', '.join(ENDINGS)} files, not from "
                            f"{each.suffix or 'this'}: convert it")
        if not each.is_file():
            raise DataError(f"no file {each}: params.yaml, ingest names files relative to {Path.cwd()}")
    return found


def records(paths: Sequence[Path], limit: int, seed: int) -> Iterator[Record]:
    """At most `limit` rows of the files together, drawn by seed, in their own order; other rows are not parsed.

    Raises:
        DataError: a file or a drawn row is not what its ending says; names file and line.
    """
    counts = [_guarded(path, _format(path).count) for path in paths]
    total = sum(counts)
    if total == 0:
        raise DataError(f"{paths[0]}: no problems in it")
    drawn = range(total) if total <= limit else sorted(random.Random(seed).sample(range(total), limit))
    inside, start = set(drawn), 0
    for path, count in zip(paths, counts, strict=True):
        wanted = {index - start for index in range(start, start + count) if index in inside}
        if wanted:
            yield from _rows(path, start, wanted)
        start += count


def digest(paths: Sequence[Path]) -> str:
    """The sha256 of one file, or of the sha256 of several, read in blocks."""
    hashes = []
    for path in paths:
        with path.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def own_paths(config: IngestConfig) -> list[str]:
    """The files, globs and folders that the section `ingest` of params.yaml names."""
    named = [config.train] if config.source == "files" else []
    return [*named, *filter(is_path, config.benchmarks), *config.copies.values()]


def content_key(path: Path) -> str:
    """The digest of what lies at a path, empty where nothing does: another one means other problems."""
    try:
        return digest(shards(str(path)))
    except RelayError:
        return ""


def _rows(path: Path, start: int, wanted: set[int]) -> Iterator[Record]:
    rows = _format(path).rows(path, wanted)
    for index in sorted(wanted):
        found = _guarded(path, lambda _: next(rows))
        yield Record(path, found[0], start + index, found[1])


def _guarded(path: Path, step: Callable[[Path], Any]) -> Any:
    """What a step gives; what a library says of a broken file becomes an error that names the file."""
    import pyarrow as pa

    try:
        return step(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.object[error.start]:#x} is not UTF-8: save the file as UTF-8") from error
    except (EOFError, gzip.BadGzipFile, OSError, pa.ArrowException) as error:
        kind = "a Parquet file" if path.suffix == ".parquet" else f"a whole {path.suffix} file"
        raise DataError(f"{path}: not {kind} ({error})") from error


@dataclass(frozen=True)
class _Format:
    """How rows of one kind of file are counted and read; `rows` yields (line, cells) of the wanted positions."""

    count: Callable[[Path], int]
    rows: Callable[[Path, set[int]], Rows]


def _format(path: Path) -> _Format:
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    return _FORMATS[name[name.rindex("."):]]


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
        cells = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{number}: byte {error.start + 1} is not UTF-8: save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{number}: not JSON ({error.msg} at column {error.colno}); each line is one JSON "
                        "object") from error
    except ValueError as error:  # an integer of thousands of digits
        raise DataError(f"{path}:{number}: not JSON that can be read ({error}): put the number in quotes") from error
    if not isinstance(cells, dict):
        raise DataError(f"{path}:{number}: a {type(cells).__name__}, not a JSON object with question and answer")
    return cells


def _json_array(path: Path) -> list[Mapping[str, Any]]:
    """The rows of a JSON file: a list of objects, or an object with one such list ("examples", "data")."""
    with closing(open_bytes(path)) as file:
        try:
            content = json.loads(file.read().decode("utf-8-sig"))
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg}); one object a line is a .jsonl file"
                            ) from error
    lists = [value for value in content.values() if isinstance(value, list)] if isinstance(content, dict) else [content]
    rows = lists[0] if len(lists) == 1 else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{path}: not a list of JSON objects, nor an object with one such list")
    return rows


def _json_rows(path: Path, wanted: set[int]) -> Rows:
    for index, cells in enumerate(_json_array(path)):
        if index in wanted:
            yield index + 1, cells


def _csv_cells(path: Path) -> Rows:
    """Records under the header, each with the line it begins on; empty lines are none."""
    header, start = list[str](), 1
    with closing(open_bytes(path)) as binary:
        reader = csv.reader(io.TextIOWrapper(binary, encoding="utf-8-sig", newline=""), strict=True)
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
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{place}: the header names {', '.join(twice)} twice: rename one of the columns")
    return names


def _named(place: str, header: list[str], cells: list[str]) -> Mapping[str, Any]:
    if len(cells) != len(header):
        raise DataError(f"{place}: {len(cells)} cells, the header has {len(header)}: quote cells that hold commas")
    return dict(zip(header, cells, strict=True))


def _csv_rows(path: Path, wanted: set[int]) -> Rows:
    for index, (line, cells) in enumerate(_csv_cells(path)):
        if index in wanted:
            yield line, cells


def _parquet_count(path: Path) -> int:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


def _parquet_rows(path: Path, wanted: set[int]) -> Rows:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:
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


_FORMATS = {
    ".jsonl": _Format(lambda path: sum(1 for _ in _lines(path)), _jsonl_rows),
    ".json": _Format(lambda path: len(_json_array(path)), _json_rows),
    ".csv": _Format(lambda path: sum(1 for _ in _csv_cells(path)), _csv_rows),
    ".parquet": _Format(_parquet_count, _parquet_rows),
}
