"""What a method spent: what the relay's rivals are given, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from relayllm.evaluation.records import Record


@dataclass(frozen=True, slots=True)
class Cost:
    """What the relay spent on an answer."""

    call_ratio: float
    mean_n: int
    """Rounded; at least 1."""

    def times(self, factor: float) -> Cost:
        """The cost of so many times as many calls; never more than the whole answer."""
        return replace(self, call_ratio=min(1.0, factor * self.call_ratio))


def cost_of(records: Sequence[Record]) -> Cost:
    """What a relay spent: the call ratio as the report gives it, a mean over benchmarks of their means."""
    asked = [n for record in records for n in record.requested]
    ratios: dict[str, list[float]] = {}
    for record in records:
        ratios.setdefault(record.benchmark, []).append(record.call_ratio)
    ratio = sum(sum(of_one) / len(of_one) for of_one in ratios.values()) / max(1, len(ratios))
    return Cost(ratio, max(1, round(sum(asked) / len(asked))) if asked else 1)
