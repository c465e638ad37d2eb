"""What every source of problems offers: a named set, read whole, with word of where it comes from."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from relayllm.problems.problem import Problem


@dataclass(frozen=True, slots=True)
class SourceQuery:
    """Which set to read, and how much of it."""

    name: str
    """A row of the catalogue, or a path."""
    limit: int
    seed: int
    training: bool
    copy: str = ""
    """A local copy of a set of the catalogue, in its own schema unless columns are mapped: a file, a glob, a folder."""
    columns: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    """Field of a problem -> column of the user's file, or of the copy."""


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """A set as read, and its origin for the manifest."""

    name: str
    problems: tuple[Problem, ...]
    source: str
    revision: str
    licence: str


class Source(Protocol):
    """A place that problem sets are read from: the hub, files, or the tiny world's generator."""

    def read(self, query: SourceQuery) -> ProblemSet:
        """Read a set: same query, same problems.

        Raises:
            DataError: the set cannot be had, or a row is malformed; names the set and the row.
        """
        ...


def sample(problems: Sequence[Problem], limit: int, seed: int) -> tuple[Problem, ...]:
    """At most `limit` problems, drawn by seed, in their original order."""
    if len(problems) <= limit:
        return tuple(problems)
    kept = sorted(random.Random(seed).sample(range(len(problems)), limit))
    return tuple(problems[index] for index in kept)
