"""The result of an expectation, as the runner reports it and the Data Docs show it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN = 5
"""Offending rows that are named; the rest are counted."""


@dataclass(frozen=True)
class ExpectationResult:
    """The result of one expectation over one table: passed or not, and the rows that are not as expected."""

    check: str
    passed: bool
    critical: bool
    expectation: str
    column: str
    observed: str
    offending: tuple[str, ...] = field(default=())

    @property
    def found(self) -> str:
        """The offending rows, the first of them by name; or what was seen instead."""
        rows = ", ".join(self.offending[:SHOWN])
        more = f" and {len(self.offending) - SHOWN} more" if len(self.offending) > SHOWN else ""
        return f"{rows}{more}" if rows else self.observed

    def __str__(self) -> str:
        """One line: which table, which expectation, which rows."""
        return f"{self.check}: {self.expectation}: {self.found}"
