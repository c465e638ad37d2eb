r"""The user's own problems: files with the columns question and answer, or columns that params.yaml maps to them.

Optional columns: id, family, solution, choices (a list; the answer is then a letter), grading (math, choice or text),
tolerance. Every other column goes to `meta`. A CSV cell of choices is a JSON list. A worked answer that ends in
`#### 18` or in `\boxed{18}` becomes solution and answer.
"""

from __future__ import annotations

from pathlib import Path

from relayllm.problems.catalogue import own_name
from relayllm.problems.sources.columns import problem_of
from relayllm.problems.sources.records import SourceRow, digest, records, refuse_second, set_name, shards
from relayllm.problems.sources.source import ProblemSet, SourceQuery


class Files:
    """Problems from a file, a glob or a folder, named by its path."""

    def read(self, query: SourceQuery) -> ProblemSet:
        """Read what the limit draws; a malformed row stops it, named by file and line."""
        paths, name = shards(query.name), own_name(set_name(query.name))
        seen: dict[str, SourceRow] = {}
        problems = []
        for record in records(paths, query.limit, query.seed):
            problem = problem_of(record, name, _key(record, len(paths) > 1), query.columns)
            refuse_second(seen, record, problem.id)
            problems.append(problem)
        return ProblemSet(name, tuple(problems), f"file {Path(query.name).name}", f"sha256 {digest(paths)}",
                          "not stated")


def _key(record: SourceRow, several: bool) -> str:
    """Id of a row that has none: its line, and with several files the file's name."""
    return f"{set_name(record.path.name)}-{record.line:05d}" if several else f"{record.line:05d}"
