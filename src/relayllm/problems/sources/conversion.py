"""Rows of catalogue sets as problems, wherever the rows come from: the hub, its cache or a local copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from relayllm.errors import DataError
from relayllm.problems.catalogue import Benchmark
from relayllm.problems.problem import Problem
from relayllm.problems.sources.columns import MISSING_TEXT


def convert(benchmark: Benchmark, index: int, cells: Mapping[str, Any], place: str) -> Problem:
    """A row in the schema of its set as a problem, its id with the set's name before it.

    Raises:
        DataError: the row is not in that schema, or has no question or answer; names the place and the columns.
    """
    assert benchmark.read is not None
    try:
        problem = benchmark.read(cells, index)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DataError(f"{place}: not in the schema that {benchmark.name} has ({type(error).__name__}: {error}); "
                        f"columns: {', '.join(cells)}. Was the revision in src/relayllm/problems/catalogue.py changed, "
                        "or does ingest.copies name another set's file, or one whose columns ingest.columns should "
                        "map?") from error
    for field in ("question", "answer"):
        text = getattr(problem, field)
        if not isinstance(text, str) or not text.strip() or text.strip().casefold() in (*MISSING_TEXT, "none"):
            raise DataError(f"{place}: {field} is {text!r:.80}, it must be text that is not empty")
    return replace(problem, id=f"{benchmark.name}-{problem.id}", family=benchmark.name)
