"""Which pool of teachers a stage ran with, noted in the folder of runs: DVC does not see what the environment names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from relayllm.engines.openai.pool_config import read_pool
from relayllm.files import write_json
from relayllm.settings import Settings

ANSWERS, PRICES = "answers", "prices"
"""What of a pool a stage may depend on: who answers and what they are sent; what they cost."""


def pool_digests(settings: Settings) -> dict[str, str]:
    """Digests of what stages depend on; empty texts without a pool.

    Raises:
        ConfigError: RELAY_TEACHERS names no pool.
    """
    if settings.teachers is None:
        return {ANSWERS: "", PRICES: ""}
    pool = read_pool(settings.teachers)
    prices = json.dumps({name: asdict(one) for name, one in pool.prices.items()}, sort_keys=True)
    return {ANSWERS: _digest(pool.content), PRICES: _digest(prices)}


def note_pool(settings: Settings, stage: str, digests: Mapping[str, str]) -> None:
    """Note which pool a stage ran with."""
    write_json(_note(settings, stage), dict(digests))


def ran_with_another(settings: Settings, stage: str, depends_on: Iterable[str]) -> bool:
    """Whether a stage last ran on this machine with another pool than the one that it would ask now.

    Raises:
        ConfigError: RELAY_TEACHERS names no pool.
    """
    note = _note(settings, stage)
    if not note.is_file():
        return False
    known, now = json.loads(note.read_text(encoding="utf-8")), pool_digests(settings)
    return any(known[one] != now[one] for one in depends_on)


def _note(settings: Settings, stage: str) -> Path:
    return settings.runs / "teachers" / f"{stage}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
