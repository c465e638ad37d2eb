"""Catalogue sets from a local copy in their own schema, as `ingest.copies` names it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from relayllm.problems.catalogue import Benchmark
from relayllm.problems.sources.conversion import convert
from relayllm.problems.sources.records import digest, records, set_name, shards
from relayllm.problems.sources.source import ProblemSet, SourceQuery


def read_copy(benchmark: Benchmark, query: SourceQuery) -> ProblemSet:
    """Read a copy as the hub's rows are read: the same readers, the same ids, at most `limit` rows parsed.

    Raises:
        DataError: no such file, or a row that is not in the set's schema; names file and line.
    """
    paths = shards(query.copy)
    problems = tuple(convert(benchmark, record.index, {**record.cells, "part": _part(benchmark, record.path)},
                             record.place) for record in records(paths, query.limit, query.seed))
    return ProblemSet(query.name, problems, f"{benchmark.hub}, copy {Path(query.copy).name}",
                      f"sha256 {digest(paths)}", benchmark.licence)


def _part(benchmark: Benchmark, path: Path) -> str:
    """Which of a set's files this is: laid out as in its repository (`bbeh_TASK/task.json`), or named for the part."""
    named = (part for part, url in (benchmark.urls or {}).items() if PurePosixPath(url).parts[-2:] == path.parts[-2:])
    return next(named, set_name(path.name))
