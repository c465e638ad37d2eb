"""Two versions side by side: what changed, how sure that is, and whether the gates hold. No registry, no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from relayllm.packaging.folder import ProblemScores
from relayllm.packaging.parity import ParityResult
from relayllm.registry.gates import ComparisonConfig, Gates

AVERAGE = "average"
_CHUNK = 2_000_000
"""Numbers drawn at a time by the bootstrap: memory stays flat on large benchmarks."""


@dataclass(frozen=True, slots=True)
class Side:
    """One version as a comparison sees it: its scores, parameters and latency."""

    label: str
    """How people call it: `7`, or `7 (champion)`."""
    metrics: Mapping[str, Any]
    """`average` and `benchmarks`, as a method of summary.json."""
    problem_scores: ProblemScores
    data: str = ""
    """MD5 of the data set it was made from and scored on."""
    commit: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    """params.yaml when it was registered, flat."""
    seconds: float | None = None
    """Median of whole answers, when it was released."""
    student_accuracy: float | None = None
    """Of the untouched student alone, averaged over the same benchmarks; None when it was not evaluated."""
    cost: Mapping[str, Any] | None = None
    """What its answers cost in the report (`Package.cost`); None without prices."""


@dataclass(frozen=True, slots=True)
class Difference:
    """New minus old, with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:+.1f} [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


@dataclass(frozen=True, slots=True)
class BenchmarkDelta:
    """One benchmark, or the average of all."""

    name: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    difference: Difference | None
    """Of accuracy; None when one side has no such benchmark."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """An old version (None: there is none yet) and a new one."""

    old: Side | None
    new: Side
    rows: tuple[BenchmarkDelta, ...]
    """One per benchmark, the average last."""
    paired: bool
    """The same problems on both sides: differences are taken problem by problem."""

    @property
    def average(self) -> BenchmarkDelta:
        """The row of the average over benchmarks."""
        return self.rows[-1]

    @property
    def changed_params(self) -> tuple[tuple[str, str, str], ...]:
        """(name, old, new) for every parameter that is not the same."""
        if self.old is None:
            return ()
        old, new = self.old.params, self.new.params
        return tuple((name, old.get(name, "-"), new.get(name, "-")) for name in sorted({*old, *new})
                     if old.get(name) != new.get(name))


@dataclass(frozen=True, slots=True)
class GateResult:
    """One condition for the champion alias, and what was found."""

    name: str
    passed: bool
    detail: str


def compare(old: Side | None, new: Side, config: ComparisonConfig) -> Comparison:
    """Line two versions up, benchmark by benchmark, with bootstrap intervals on the differences."""
    before = old.metrics["benchmarks"] if old else {}
    names = list(dict.fromkeys([*new.metrics["benchmarks"], *before]))
    paired = old is None or all(old.problem_scores.get(name, {}).keys() == new.problem_scores.get(name, {}).keys()
                                for name in names)
    draws = {name: _draws(old.problem_scores[name], new.problem_scores[name], paired, config, number)
             for number, name in enumerate(names) if old and name in old.problem_scores and name in new.problem_scores}
    rows = [BenchmarkDelta(name, before.get(name), new.metrics["benchmarks"].get(name),
                           _interval(draws.get(name), config))
            for name in names]
    total = np.mean(list(draws.values()), axis=0) if draws else None
    rows.append(BenchmarkDelta(AVERAGE, old.metrics[AVERAGE] if old else None, new.metrics[AVERAGE],
                               _interval(total, config)))
    return Comparison(old, new, tuple(rows), paired)


def _draws(old: Mapping[str, Any], new: Mapping[str, Any], paired: bool, config: ComparisonConfig,
           number: int) -> np.ndarray:
    """The difference of mean accuracies, and after it that of every bootstrap draw. (1 + draws,)"""
    random = np.random.default_rng([config.seed, number])
    keys = sorted(new)
    ours = np.array([new[key][0] for key in keys])
    theirs = np.array([old[key][0] for key in (keys if paired else sorted(old))])
    if paired:
        means = resampled(ours - theirs, config.bootstrap, random)
        return np.concatenate([[np.mean(ours - theirs)], means])
    means = resampled(ours, config.bootstrap, random) - resampled(theirs, config.bootstrap, random)
    return np.concatenate([[ours.mean() - theirs.mean()], means])


def resampled(values: np.ndarray, draws: int, random: np.random.Generator) -> np.ndarray:
    """Means of draws with replacement. (values,) -> (draws,)"""
    size, step = len(values), max(1, _CHUNK // max(1, len(values)))
    parts = [values[random.integers(size, size=(min(step, draws - start), size))].mean(axis=1)
             for start in range(0, draws, step)]
    return np.concatenate(parts)


def _interval(draws: np.ndarray | None, config: ComparisonConfig) -> Difference | None:
    if draws is None:
        return None
    low, high = np.quantile(draws[1:], [(1 - config.confidence) / 2, (1 + config.confidence) / 2])
    return Difference(float(draws[0]), float(low), float(high))


def judge(comparison: Comparison, measured: ParityResult, gates: Gates) -> tuple[GateResult, ...]:
    """Whether the new version may become champion: every gate with what was found and what was asked."""
    return (_accuracy(comparison, gates), _floor(comparison.new, gates), _call_ratio(comparison, gates),
            _parity(measured, gates), _latency(measured, gates))


def _accuracy(comparison: Comparison, gates: Gates) -> GateResult:
    if comparison.old is None:
        return GateResult("accuracy", True, "no champion to compare with")
    return judge_drop("accuracy", comparison, f"version {comparison.old.label}", gates)


def judge_drop(name: str, comparison: Comparison, against: str, gates: Gates) -> GateResult:
    """Whether the new version's accuracy is no further below the old one's than `accuracy.max_drop`, beyond doubt."""
    allowed, difference = -gates.accuracy.max_drop, comparison.average.difference
    if difference is None:
        return GateResult(name, False, f"no benchmark in common with {against}: promote by hand if that is meant")
    return GateResult(name, difference.low >= allowed,
                      f"{difference} points against {against}; it may reach {100 * allowed:+.1f}")


def _floor(new: Side, gates: Gates) -> GateResult:
    accuracy, floor = float(new.metrics[AVERAGE]["accuracy"]), gates.floor
    needed, alone = f"{100 * floor.min_accuracy:.1f} % needed", new.student_accuracy
    if alone is not None:
        needed += f", and above the {100 * (alone + floor.above_student):.1f} % of the student alone"
    above = alone is None or accuracy > alone + floor.above_student
    return GateResult("floor", accuracy >= floor.min_accuracy and above, f"{100 * accuracy:.1f} % solved, {needed}")


def _call_ratio(comparison: Comparison, gates: Gates) -> GateResult:
    ratio, band = float(comparison.new.metrics[AVERAGE]["call_ratio"]), gates.call_ratio
    return GateResult("call_ratio", band.low <= ratio <= band.high,
                      f"{100 * ratio:.1f} %; the band is {100 * band.low:.0f} to {100 * band.high:.0f} %")


def _parity(measured: ParityResult, gates: Gates) -> GateResult:
    needed = gates.parity.min_share * measured.asked
    strays = f"; not the same: {', '.join(measured.strays[:5])}" if measured.strays else ""
    return GateResult("parity", measured.asked > 0 and measured.same >= needed,
                      f"{measured.same} of {measured.asked} answers as before packing, {needed:.0f} needed{strays}")


def _latency(measured: ParityResult, gates: Gates) -> GateResult:
    limit = gates.latency.max_seconds
    return GateResult("latency", measured.seconds <= limit, f"{measured.seconds:.2f} s per answer, at most {limit:g} s")
