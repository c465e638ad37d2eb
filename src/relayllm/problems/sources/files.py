"""The user's own problems: a JSONL, Parquet or CSV file with the columns question and answer.

Optional columns: id, family, solution, choices (a list; the answer is then a letter), grading (math, choice or text).
Every other column goes to `meta`. A CSV cell of choices is a JSON list.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from relayllm.errors import DataError
from relayllm.problems.problem import Problem
from relayllm.problems.sources.source import ProblemSet, SourceQuery, sample

NEEDED = ("question", "answer")
OWN = ("id", "question", "answer", "family", "solution", "meta")
KINDS = ("math", "choice", "text")

Rows = Iterator[tuple[int, Mapping[str, Any]]]


class Files:
    """Problems from a file, named by its path."""

    def read(self, query: SourceQuery) -> ProblemSet:
        """Read a file; a malformed row stops it, named by file and line."""
        path = Path(query.name)
        problems = _unique(path, [(line, _problem(path, line, cells)) for line, cells in _rows(path)])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return ProblemSet(path.stem, sample(problems, query.limit, query.seed), f"file {path.name}",
                          f"sha256 {digest}", "not stated")


def _rows(path: Path) -> Rows:
    """Rows of a file with the line (Parquet: the row) each stands on, counted from 1."""
    readers = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
    if path.suffix not in readers:
        raise DataError(f"{path}: problems are read from {', '.join(readers)} files, not from {path.suffix or 'this'}: "
                        "convert it")
    if not path.is_file():
        raise DataError(f"no file {path}: params.yaml, ingest.train and ingest.benchmarks name files relative to "
                        f"{Path.cwd()}")
    try:
        yield from readers[path.suffix](path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8: save the file as UTF-8") from error


def _jsonl(path: Path) -> Rows:
    for line, text in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not text.strip():
            continue
        try:
            cells = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{line}: not JSON ({error.msg} at column {error.colno}); each line is one JSON "
                            "object") from error
        if not isinstance(cells, dict):
            raise DataError(f"{path}:{line}: a {type(cells).__name__}, not a JSON object with question and answer")
        yield line, cells


def _csv(path: Path) -> Rows:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        if not set(NEEDED) <= set(reader.fieldnames or ()):
            raise DataError(f"{path}:1: the header names {', '.join(reader.fieldnames or ['nothing'])}; it must name "
                            "question and answer")
        start = reader.line_num + 1
        try:
            for cells in reader:
                if None in cells or None in cells.values():
                    raise DataError(f"{path}:{start}: {_count(cells)} cells, the header has "
                                    f"{len(reader.fieldnames or ())}: quote cells that hold commas")
                yield start, {name: cell for name, cell in cells.items() if cell != "" or name in NEEDED}
                start = reader.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}:{start}: not CSV ({error}): close every quote") from error


def _count(cells: Mapping[str | None, Any]) -> int:
    return sum(len(cell) if name is None else cell is not None for name, cell in cells.items())


def _parquet(path: Path) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise DataError(f"{path}: not a Parquet file ({error})") from error
    for index, cells in enumerate(table.to_pylist(), start=1):
        yield index, {name: cell for name, cell in cells.items() if cell is not None or name in NEEDED}


def _problem(path: Path, line: int, cells: Mapping[str, Any]) -> Problem:
    place = f"{path}:{line}"
    for name in NEEDED:
        cell = cells.get(name)
        if isinstance(cell, bool) or not isinstance(cell, str | int | float) or not str(cell).strip():
            raise DataError(f"{place}: {name} is {cell!r}, it must be text that is not empty")
    meta = _meta(place, cells)
    return Problem(
        id=str(cells.get("id") or f"{path.stem}-{line:05d}"), question=str(cells["question"]).strip(),
        answer=str(cells["answer"]).strip(), family=str(cells.get("family") or path.stem),
        solution=str(cells.get("solution") or ""), meta=meta)


def _meta(place: str, cells: Mapping[str, Any]) -> dict[str, Any]:
    meta = {**(cells.get("meta") or {}), **{name: cell for name, cell in cells.items() if name not in OWN}}
    if "choices" in meta:
        meta["choices"] = _choices(place, meta["choices"])
        meta.setdefault("grading", "choice")
    if meta.get("grading", "math") not in KINDS:
        raise DataError(f"{place}: grading is {meta['grading']!r}, it must be one of {', '.join(KINDS)}")
    try:
        json.dumps(meta)
    except TypeError as error:
        raise DataError(f"{place}: a column holds what JSON cannot ({error}): make it text") from error
    return meta


def _choices(place: str, choices: Any) -> list[str]:
    try:
        read = json.loads(choices) if isinstance(choices, str) else choices
    except json.JSONDecodeError:
        read = None
    if not isinstance(read, list) or len(read) < 2:
        raise DataError(f"{place}: choices is {choices!r:.80}, it must be a JSON list of at least two options")
    return [str(option) for option in read]


def _unique(path: Path, rows: list[tuple[int, Problem]]) -> list[Problem]:
    if not rows:
        raise DataError(f"{path}: no problems in it")
    seen: dict[str, int] = {}
    for line, problem in rows:
        if problem.id in seen:
            raise DataError(f"{path}:{line}: id {problem.id!r} is also on line {seen[problem.id]}: ids must be unique")
        seen[problem.id] = line
    return [problem for _, problem in rows]
