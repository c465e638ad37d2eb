"""Everything that was measured, in one dictionary: `summary.json`, whose shape is a contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from relayllm.config.method_names import is_trained
from relayllm.evaluation.analysis.bias_curve import curve
from relayllm.evaluation.analysis.comparisons import agreement, compare, gap, table
from relayllm.evaluation.analysis.money import Paid, money, with_costs
from relayllm.evaluation.analysis.reward_hacking import reward_hacking
from relayllm.evaluation.analysis.scores import score
from relayllm.evaluation.records import JUDGED
from relayllm.files import atomic_write


@dataclass(frozen=True, slots=True)
class Provenance:
    """Profile, seed, commit and data that the records of a summary were made with."""

    profile: str
    seed: int
    git_commit: str
    """With `-dirty` when the tree was not what the commit says."""
    data_md5: str
    seconds: Mapping[str, float]
    """Stage -> wall clock of its last run."""
    params_md5: str = ""
    enable_thinking: bool | None = None
    """Thinking mode of the evaluated answers; None where the template decided."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a method may spend on one answer."""

    max_calls: int
    max_call_tokens: int


@dataclass(frozen=True, slots=True)
class Found:
    """Bias curve, calibrated settings and judge of an evaluation: what `summary.json` holds besides the records."""

    bias_curve: Mapping[str, Any] | None = None
    """As `read_bias_curve` gives it."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """As `read_settings` gives it: what calibration found for each method."""
    judge_model: str | None = None


NOTHING_FOUND, FREE = Found(), Paid()


def build_summary(frame: pd.DataFrame, origin: Provenance, limits: Limits, *, bootstrap: int,
                  relay: str, found: Found = NOTHING_FOUND, paid: Paid = FREE) -> dict[str, Any]:
    """Score, compare and check all methods of the records, and price them.

    `relay` names the method whose gap and comparisons are reported. The same records and seed give the same summary.
    """
    frame = with_costs(frame, paid)
    scores = score(frame, draws=bootstrap, seed=origin.seed)
    checks = reward_hacking(frame, max_calls=limits.max_calls, max_call_tokens=limits.max_call_tokens)
    methods = table(scores)
    return {
        "profile": origin.profile, "seed": origin.seed, "git_commit": origin.git_commit,
        "params_md5": origin.params_md5, "data_md5": origin.data_md5,
        "enable_thinking": origin.enable_thinking,
        "gap_recovered": gap(scores, relay),
        "methods": methods,
        "comparisons": compare(scores, relay),
        "money": money(frame, scores, paid, relay),
        "bias_curve": curve(methods, found.bias_curve),
        "settings": dict(found.settings),
        "judge": None if JUDGED not in frame else {name: agreement(frame[frame["method"] == name]) for name in scores},
        "judge_model": found.judge_model if JUDGED in frame else None,
        "reward_hacking": {name: checks[name] for name in scores},
        "bootstrap": bootstrap,
        "seconds": {name: round(float(value), 1) for name, value in sorted(origin.seconds.items())},
    }


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write the summary; methods and benchmarks keep the order of the tables."""
    with atomic_write(path) as part:
        part.write_text(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def all_alarms(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(method, alarm) of the policies as they were trained: what follows a rule of ours is as it is."""
    return [(name, alarm) for name, checks in summary["reward_hacking"].items()
            if is_trained(name) for alarm in checks["alarms"]]
