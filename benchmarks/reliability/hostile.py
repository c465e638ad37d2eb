"""Hostile requests: each gets an answer or an error of the API, none forges a call, and the server stays well."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.hostile_requests import attack


def run(count: int, folder: Path) -> dict[str, Any]:
    """Send `count` of them to a server of this process; `attack` fails on the first wrong answer."""
    try:
        statuses, grown = attack(count, seed=2)
    except AssertionError as error:
        return {"requests": count, "faults": 1, "first": str(error)[:300]}
    return {"requests": count, "statuses": dict(sorted(Counter(statuses).items())), "grown_kib": grown, "faults": 0}
