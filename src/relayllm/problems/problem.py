"""A problem, and the files that hold problems."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from relayllm.errors import DataError
from relayllm.files import atomic_write


@dataclass(frozen=True, slots=True)
class Problem:
    """One question with the answer it is graded against."""

    id: str
    """Unique in its file and across training and benchmarks."""
    question: str
    answer: str
    """The gold answer, as the grader of its benchmark reads it; for math without the box."""
    family: str = ""
    """Benchmark or kind of problem it belongs to."""
    solution: str = ""
    """A worked answer, when the source has one."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Whatever else the source says: level, subject, choices."""


def read_problems(path: Path) -> list[Problem]:
    """Read a JSONL file of problems.

    Raises:
        DataError: the file is missing, or a row is malformed; names file and line.
    """
    return list(_rows(path))


def write_problems(path: Path, problems: Iterable[Problem]) -> None:
    """Write problems as JSONL, whole or not at all, same bytes for same problems."""
    with atomic_write(path) as part:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            for problem in problems:
                file.write(json.dumps(asdict(problem), ensure_ascii=False, sort_keys=True) + "\n")


def _rows(path: Path) -> Iterator[Problem]:
    if not path.is_file():
        raise DataError(f"no problems at {path}: run `relay ingest`, or `dvc pull` to fetch what data.dvc pins")
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _problem(path, number, line)


def _problem(path: Path, number: int, line: str) -> Problem:
    try:
        problem = Problem(**json.loads(line))
    except (json.JSONDecodeError, TypeError) as error:
        raise DataError(f"{path}:{number}: not a problem ({error}); each line is a JSON object with "
                        "id, question and answer") from error
    wrong = [name for name in ("id", "question", "answer") if not isinstance(getattr(problem, name), str)]
    if wrong:
        raise DataError(f"{path}:{number}: {', '.join(wrong)} must be text; write it in quotes")
    return problem
