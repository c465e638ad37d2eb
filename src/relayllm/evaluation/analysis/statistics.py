"""Numbers with their 95 % intervals, by bootstrap over problems and over samples. Pure numpy.

A problem set is drawn again with replacement, the same draw for every method; the samples of an avg@k problem are
drawn within the problem, each method for itself. An `Estimate` carries the measured value and the value of every draw
and can be calculated with, so that a difference is paired, an average over benchmarks is stratified, and a ratio of
differences gets an interval, all by writing the formula.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
HELD_AT_ONCE = 4_000_000
"""Numbers held at once while drawing: 32 MB."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value, and the same over resampled problems."""

    value: float
    draws: Floats
    """(draws,)"""

    @property
    def ci(self) -> tuple[float, float] | None:
        """The percentile interval; None when too many draws have no value (a division by zero or less)."""
        if not np.isfinite(self.value) or np.mean(np.isnan(self.draws)) > (1 - CONFIDENCE) / 2:
            return None
        tail = 50 * (1 - CONFIDENCE)
        low, high = np.nanpercentile(self.draws, [tail, 100 - tail])
        return float(low), float(high)

    def map(self, function: Callable[[Floats], Floats]) -> Estimate:
        """The estimate of a function of the value."""
        return Estimate(float(function(np.array([self.value]))[0]), function(self.draws))

    def __add__(self, other: Estimate | float) -> Estimate:
        value, draws = _parts(other)
        return Estimate(self.value + value, self.draws + draws)

    def __sub__(self, other: Estimate | float) -> Estimate:
        value, draws = _parts(other)
        return Estimate(self.value - value, self.draws - draws)

    def __rsub__(self, other: float) -> Estimate:
        return Estimate(other - self.value, other - self.draws)

    def __mul__(self, other: Estimate | float) -> Estimate:
        value, draws = _parts(other)
        return Estimate(self.value * value, self.draws * draws)

    __radd__, __rmul__ = __add__, __mul__

    def __truediv__(self, other: Estimate | float) -> Estimate:
        """Division; by zero or less it has no value: every divisor here is a count, or a gap that must be one."""
        value, draws = _parts(other)
        return Estimate(float(_divide(np.array([self.value]), value)[0]), _divide(self.draws, draws))


Number = TypeVar("Number", float, Estimate)


@dataclass(frozen=True, slots=True)
class Answers:
    """What one method got on one benchmark."""

    problems: Sequence[str]
    """Their ids, each once."""
    values: Floats
    """(problems, samples, columns); a sample that was not taken is NaN throughout."""


def bootstrap(answers: Mapping[str, Answers], *, draws: int, seed: int, benchmark: str) -> dict[str, list[Estimate]]:
    """The mean of every column over the problems of one benchmark, for each method. A problem's samples count as one.

    The same problems are drawn for all methods; what is drawn depends on nothing but seed, benchmark and problems.
    """
    ids = sorted({one for method in answers.values() for one in method.problems})
    place = {one: index for index, one in enumerate(ids)}
    columns = {name: np.array([place[one] for one in method.problems]) for name, method in answers.items()}
    random = {name: _random(seed, benchmark, name) for name in answers}
    found: dict[str, list[Floats]] = {name: [] for name in answers}
    size = max((method.values.shape[1] for method in answers.values()), default=1) * max(1, len(ids))
    for counts in _problem_counts(len(ids), draws, max(1, HELD_AT_ONCE // size), _random(seed, benchmark)):
        for name, method in answers.items():
            found[name].append(_weighted_means(method.values, counts[:, columns[name]], random[name]))
    return {name: _estimates(answers[name].values, np.concatenate(found[name])) for name in answers}


def mean(estimates: Sequence[Number]) -> Number:
    """The mean: over benchmarks it is the average of the tables."""
    total = estimates[0]
    for estimate in estimates[1:]:
        total = total + estimate
    return total * (1 / len(estimates))


def gap_recovered(relay: Number, student: Number, teacher: Number) -> Number:
    """The share of the way from student to teacher that the relay goes."""
    return (relay - student) / (teacher - student)


def router_accuracy(student: Number, teacher: Number, share: Number | float) -> Number:
    """Accuracy of a router that sends a random share of the queries to the teacher: linear in the share, exactly."""
    return student + (teacher - student) * share


def matched_share(relay: Number, student: Number, teacher: Number) -> Number:
    """The share of queries that the random router must send to be as good as the relay."""
    return gap_recovered(relay, student, teacher)


def reduction(call_ratio: Number, share: Number) -> Number:
    """Teacher tokens saved against the performance-matched random router: 1 - ratio / share (section 3 of paper.md)."""
    return 1.0 - call_ratio / share


def router_share(teacher_tokens: Number, teacher_length: Number) -> Number:
    """The share of queries at which a random router's teacher writes as many tokens as the relay's did.

    It is the call ratio itself where answers are equally long; a relay that dilutes its ratio by longer answers has to
    beat a router that is given more.
    """
    return teacher_tokens / teacher_length


def along(points: Sequence[tuple[Estimate, Estimate]], at: Estimate) -> Estimate:
    """Read a curve through (call ratio, accuracy) points at a call ratio, by straight lines between them."""
    ordered = sorted(points, key=lambda point: point[0].value)
    xs = np.array([[x.value, *x.draws] for x, _ in ordered]).T  # (1 + draws, points)
    ys = np.array([[y.value, *y.draws] for _, y in ordered]).T
    where = np.array([at.value, *at.draws])
    rows = [np.interp(one, x[order], y[order])
            for one, x, y, order in zip(where, xs, ys, np.argsort(xs, axis=1, kind="stable"), strict=True)]
    return Estimate(float(rows[0]), np.array(rows[1:]))


def _problem_counts(problems: int, draws: int, block: int, random: np.random.Generator) -> Iterator[Floats]:
    """How often each problem is drawn, in blocks of draws. (block, problems)"""
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        chosen = random.integers(problems, size=(rows, problems)) + problems * np.arange(rows)[:, None]
        yield np.bincount(chosen.ravel(), minlength=rows * problems).reshape(rows, problems).astype(np.float64)


def _weighted_means(values: Floats, counts: Floats, random: np.random.Generator) -> Floats:
    """Column means of each draw. (draws, columns)"""
    problems, samples, columns = values.shape
    taken = ~np.isnan(values[:, :, 0])  # (problems, samples)
    sizes = taken.sum(axis=1)
    if samples == 1:
        weights = counts
    else:
        shares = taken / sizes[:, None]
        drawn = random.multinomial((counts * sizes).astype(np.int64), shares)  # (draws, problems, samples)
        weights = (drawn / sizes[:, None]).reshape(len(counts), problems * samples)
    sums = weights @ np.nan_to_num(values).reshape(problems * samples, columns)
    return _divide(sums, counts.sum(axis=1)[:, None])


def _estimates(values: Floats, draws: Floats) -> list[Estimate]:
    means = np.nanmean(values, axis=1).mean(axis=0)  # (columns,)
    return [Estimate(float(value), column) for value, column in zip(means, draws.T, strict=True)]


def _random(seed: int, *names: str) -> np.random.Generator:
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


@overload
def _parts(number: Estimate) -> tuple[float, Floats]: ...
@overload
def _parts(number: float) -> tuple[float, float]: ...
def _parts(number: Estimate | float) -> tuple[float, Floats | float]:
    return (number.value, number.draws) if isinstance(number, Estimate) else (number, number)


def _divide(above: Floats, below: Floats | float) -> Floats:
    positive = np.broadcast_to(np.asarray(below, dtype=np.float64), above.shape)
    return np.divide(above, positive, out=np.full(above.shape, np.nan), where=positive > 0)
