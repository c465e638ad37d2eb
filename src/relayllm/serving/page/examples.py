"""A few benchmark questions for the page."""

from __future__ import annotations

import json
from pathlib import Path

PER_BENCHMARK, MOST, LONGEST = 2, 12, 600


def read_examples(data: Path) -> list[dict[str, str]]:
    """The first questions of every benchmark in data/, or the tiny world's own when there is none."""
    found: list[dict[str, str]] = []
    for path in sorted((data / "benchmarks").glob("*.jsonl")):
        found += _first(path)
    return found[:MOST] or _tiny_world()


def _first(path: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if len(row["question"]) <= LONGEST:
                    rows.append({"benchmark": path.stem, "question": row["question"]})
                if len(rows) == PER_BENCHMARK:
                    break
    except (OSError, ValueError, KeyError, TypeError):
        return []  # the page does without
    return rows


def _tiny_world() -> list[dict[str, str]]:
    from relayllm.problems.tiny_world import FAMILIES, benchmark_problems

    return [{"benchmark": family, "question": problem.question} for family in FAMILIES
            for problem in benchmark_problems(family, PER_BENCHMARK, 0)][:MOST]
