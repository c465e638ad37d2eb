"""Decide what becomes of a registered version: compare, judge, promote or hold: the steps of flow and commands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from relayllm.packaging.folder import Package, open_package
from relayllm.packaging.parity import ParityResult, measure
from relayllm.registry.champions import hold, promote
from relayllm.registry.client import CHAMPION, Registry, Version
from relayllm.registry.comparison import Comparison, GateResult, Side, compare, judge, judge_drop
from relayllm.registry.comparison_text import to_json, to_markdown
from relayllm.registry.gates import RegistryConfig
from relayllm.registry.lineage import best_champion

STUDENT_ALONE = "base"
"""The method of the evaluation that asks the untouched student."""


@dataclass(frozen=True, slots=True)
class ReleaseDecision:
    """A version's comparison with the champion, its gates, and so whether it may become champion."""

    version: Version
    comparison: Comparison
    gates: tuple[GateResult, ...]

    @property
    def passes(self) -> bool:
        """Whether every gate holds."""
        return all(gate.passed for gate in self.gates)

    @property
    def reason(self) -> str:
        """The gates that do not hold, or that all do."""
        failed = "; ".join(f"{gate.name}: {gate.detail}" for gate in self.gates if not gate.passed)
        return failed or "every gate holds"


def comparison_side(registry: Registry, version: Version) -> Side:
    """A version as a comparison needs it."""
    package = open_package(registry.fetch(version))
    seconds = version.tags.get("seconds_per_answer")
    return Side(version.label, package.metrics, package.problem_scores(), str(package.record.get("data_md5") or ""),
                str(package.record.get("git_commit") or ""), registry.params(version),
                float(seconds) if seconds else None, _student_accuracy(package), package.cost)


def _student_accuracy(package: Package) -> float | None:
    alone = (package.record.get("others") or {}).get(STUDENT_ALONE)
    return float(alone["accuracy"]) if alone else None


def side_by_side(registry: Registry, old: Version | None, new: Version, config: RegistryConfig) -> Comparison:
    """Compare a version with another, problem by problem; with None it stands alone."""
    return compare(comparison_side(registry, old) if old else None, comparison_side(registry, new), config.comparison)


def evaluate_candidate(registry: Registry, version: Version, config: RegistryConfig) -> ReleaseDecision:
    """Measure a version, compare it with the champion, judge, and write all of it on the version."""
    measured = measure(registry.fetch(version), config.gates.latency.prompts)
    return decide(registry, version, config, measured)


def decide(registry: Registry, version: Version, config: RegistryConfig, measured: ParityResult) -> ReleaseDecision:
    """Judge a version by what was measured, and write it on the version."""
    registry.annotate(version, tags={"seconds_per_answer": f"{measured.seconds:.4f}",
                                     "parity": f"{measured.same}/{measured.asked}"},
                      metrics={"seconds_per_answer": measured.seconds,
                               "parity": measured.same / max(1, measured.asked)})
    version = registry.find(version.name, version.number)
    champion = registry.champion(version.name)
    old = None if champion is None or champion.number == version.number else champion
    comparison = side_by_side(registry, old, version, config)
    gates = judge(comparison, measured, config.gates) + _history(version) + _best(registry, old, version, config)
    text = to_markdown(comparison, gates)
    registry.annotate(version, files={"comparison.md": text, "comparison.json": json.dumps(to_json(comparison, gates))},
                      tags={f"gate.{gate.name}": f"{'holds' if gate.passed else 'fails'}: {gate.detail}"
                            for gate in gates})
    registry.describe(version, text)
    return ReleaseDecision(version, comparison, gates)


def _history(version: Version) -> tuple[GateResult, ...]:
    """What was rolled back comes back by hand only."""
    if version.tags.get("status") != "rolled back":
        return ()
    return (GateResult("history", False, f"it was rolled back: {version.tags.get('rolled_back_because', '')}"),)


def _best(registry: Registry, old: Version | None, version: Version, config: RegistryConfig) -> tuple[GateResult, ...]:
    """The best of the champions before is a measure, too: ten losses within the gate would add up unseen."""
    best = best_champion(registry, old) if old else None
    if old is None or best is None or best.number == old.number:
        return ()
    against = f"version {best.label}, the best of the champions before"
    return (judge_drop("best_accuracy", side_by_side(registry, best, version, config), against, config.gates),)


def promote_or_hold(registry: Registry, decision: ReleaseDecision) -> Version:
    """Promote when every gate holds; else leave it candidate, with the reason as a tag."""
    if CHAMPION in decision.version.aliases:
        return decision.version
    if decision.passes:
        return promote(registry, decision.version, decision.reason)
    return hold(registry, decision.version, decision.reason)


def question(folder: Path) -> str:
    """Something to ask a version: the first question it was packed with."""
    return open_package(folder).parity[0].prompt
