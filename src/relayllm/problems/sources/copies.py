"""Catalogue sets from a local copy, as `ingest.copies` names it: in their own schema, or with mapped columns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath

from relayllm.problems.catalogue import Benchmark
from relayllm.problems.problem import Problem
from relayllm.problems.sources.columns import Columns, problem_of
from relayllm.problems.sources.conversion import convert
from relayllm.problems.sources.records import SourceRow, digest, records, refuse_second, set_name, shards
from relayllm.problems.sources.source import ProblemSet, SourceQuery


def read_copy(benchmark: Benchmark, query: SourceQuery) -> ProblemSet:
    """Read a copy as the hub's rows are read: the same readers, the same ids, at most `limit` rows parsed.

    Raises:
        DataError: no such file, an id twice, or a row that is not in the set's schema, or has not the columns that
            are mapped; names file and line.
    """
    paths = shards(query.copy)
    seen: dict[str, SourceRow] = {}
    problems = []
    for record in records(paths, query.limit, query.seed):
        problem = _mapped(benchmark, record, query.columns) if query.columns else convert(
            benchmark, record.index, {**record.cells, "part": _part(benchmark, record.path)}, record.place)
        refuse_second(seen, record, problem.id)
        problems.append(problem)
    return ProblemSet(query.name, tuple(problems), f"{benchmark.hub}, copy {Path(query.copy).name}",
                      f"sha256 {digest(paths)}", benchmark.licence)


def _mapped(benchmark: Benchmark, record: SourceRow, columns: Columns) -> Problem:
    """A row of another schema as a problem of the set: asked and graded as the catalogue says."""
    problem = problem_of(record, benchmark.name, f"{record.index:05d}", columns, grading=benchmark.grading)
    return replace(problem, family=benchmark.name)


def _part(benchmark: Benchmark, path: Path) -> str:
    """Which of a set's files this is: laid out as in its repository (`bbeh_TASK/task.json`), or named for the part."""
    named = (part for part, url in (benchmark.urls or {}).items() if PurePosixPath(url).parts[-2:] == path.parts[-2:])
    return next(named, set_name(path.name))
