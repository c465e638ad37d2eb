"""Rows of a set that lies in one file, a glob of files or a folder of shards, drawn by a limit.

Only the rows that a limit draws are parsed: lines are counted, a Parquet file's footer is asked, and what was not
drawn is skipped (of a Parquet file, whole row groups).
"""

from __future__ import annotations

import hashlib
import lzma
import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relayllm.config import IngestConfig
from relayllm.errors import ConfigError, DataError, RelayError
from relayllm.problems.sources.formats import FORMATS, ending_of, format_of
from relayllm.problems.sources.opening import PACKED, open_bytes
from relayllm.settings import current_settings

ENDINGS = f"{', '.join(FORMATS)} (all but Parquet also with {', '.join(PACKED)})"
SAVED = ("state.json", "dataset_dict.json")
SPLITS = ("train", "test", "validation", "valid", "dev")


@dataclass(frozen=True, slots=True)
class SourceRow:
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


def is_path(name: str) -> bool:
    """Whether a name of params.yaml means a file, a glob or a folder, and not a row of the catalogue."""
    return ending_of(name) != "" or "/" in name or "*" in name or Path(name).is_dir()


def set_name(name: str) -> str:
    """Name of the set that lies at a path: `mine` for `a/mine.jsonl.gz`, `b/mine/` and `b/mine-*.parquet`."""
    path = Path(name)
    stem = path.name.split("*")[0].rstrip("-_.") or path.parent.name
    return stem.removesuffix(ending_of(stem))


def shards(name: str) -> list[Path]:
    """The files at a path, a glob or a folder, in the order of their names; a path is read from the project's root.

    Raises:
        ConfigError: a folder holds several splits, so that training and test problems would be read as one set.
        DataError: nothing there, or nothing that can be read.
    """
    if not name.strip():
        raise ConfigError("params.yaml, ingest names an empty path: name a file, a glob or a folder of problems")
    path = current_settings().root / Path(name).expanduser()
    if path.is_dir():
        found = sorted(each for each in path.rglob("*") if ending_of(each.name) and not each.is_dir()
                       and not any(part.startswith(".") for part in each.relative_to(path).parts))
        if any(each.name in SAVED for each in found):
            raise DataError(f"{path}: a data set as datasets.save_to_disk leaves it, not {ENDINGS}: "
                            "write it with its method to_parquet")
        splits = sorted({split for each in found for split in SPLITS if each.name.startswith(split)})
        if len(splits) > 1:
            raise ConfigError(f"{path} holds the splits {', '.join(splits)}: name one, as {path}/{splits[0]}*"
                              f"{found[0].suffix}")
    else:
        found = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
    if not found:
        raise DataError(f"{path}: no file ending in {ENDINGS}{' in this folder' * path.is_dir()}")
    for each in found:
        if each.is_symlink() and not each.exists():
            raise DataError(f"{each}: a link to {each.readlink()}, which is not there: fetch what it links to, or take "
                            "the link away")
        if not each.exists():
            raise DataError(f"no file or folder {each}: params.yaml, ingest names {name!r}, relative to the project's "
                            "root; put or link it there, or change the path")
        if not ending_of(each.name):
            raise DataError(f"{each}: problems are read from {ENDINGS}, not from "
                            f"{each.suffix or 'a name without an ending'}: rename, unpack or convert it")
    return found


def records(paths: Sequence[Path], limit: int, seed: int) -> Iterator[SourceRow]:
    """At most `limit` rows of the files together, drawn by seed, in their own order; other rows are not parsed.

    Raises:
        DataError: a file or a drawn row is not what its ending says; names file and line.
    """
    counts = [_guarded(path, format_of(path).count) for path in paths]
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


def _rows(path: Path, start: int, wanted: set[int]) -> Iterator[SourceRow]:
    rows = format_of(path).rows(path, wanted)
    for index in sorted(wanted):
        found = _guarded(path, lambda _: next(rows))
        yield SourceRow(path, found[0], start + index, found[1])


def _guarded(path: Path, step: Callable[[Path], Any]) -> Any:
    """What a step gives; what a library says of a broken file becomes an error that names the file."""
    import pyarrow as pa

    try:
        return step(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{_line_of_other_bytes(path)}: byte {error.object[error.start]:#x} is not UTF-8: save "
                        "the file as UTF-8") from error
    except (EOFError, OSError, lzma.LZMAError, zlib.error, pa.ArrowException) as error:
        kind = "a Parquet file" if path.suffix.lower() == ".parquet" else f"a whole {path.suffix} file"
        raise DataError(f"{path}: not {kind} ({error})") from error
    except (LookupError, ValueError, ArithmeticError) as error:  # a time that Python has no date or zone for
        raise DataError(f"{path}: a cell cannot be read ({type(error).__name__}: {error}): make its column text or "
                        "leave it out") from error


def _line_of_other_bytes(path: Path) -> int:
    """The first line that is not UTF-8."""
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 1


def refuse_second(seen: dict[str, SourceRow], record: SourceRow, identity: str) -> None:
    """Stop at an id that an earlier row of the set has.

    Raises:
        DataError: names both rows.
    """
    first = seen.setdefault(identity, record)
    if first is not record:
        where = f"on line {first.line}" if first.path == record.path else f"at {first.place}"
        raise DataError(f"{record.place}: id {identity!r} is also {where}: ids must be unique within a set")
