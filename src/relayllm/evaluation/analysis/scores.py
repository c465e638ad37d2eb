"""From records to estimates: every method on every benchmark, and on average."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from relayllm.evaluation.analysis.statistics import Answers, Estimate, bootstrap, mean
from relayllm.evaluation.records import JUDGED

COLUMNS = ("correct", "call_ratio", "completion_tokens", "teacher_tokens", "calls")
OPTIONAL = (JUDGED, "cost")
ORDER = ("base", "warmup", "grpo", "random-query", "random-position", "entropy", "glimp", "cascade", "query-router",
         "relay-simple", "relay-difficulty",
         "teacher-free", "teacher")
"""How methods follow each other in tables; those not named stand before the teacher."""


@dataclass(frozen=True, slots=True)
class Score:
    """One method on one benchmark, or on average over benchmarks."""

    accuracy: Estimate
    call_ratio: Estimate
    """Mean over answers of the share that the teacher wrote."""
    completion_tokens: Estimate
    teacher_tokens: Estimate
    calls: Estimate
    problems: int
    samples: int
    """Answers per problem."""
    judged: Estimate | None = None
    """Accuracy by the judge when the records have its verdicts; an unclear one counts as the rule has it."""
    cost: Estimate | None = None
    """What an answer costs, where the records were priced."""


Scores = Mapping[str, Mapping[str, Score]]
"""method -> benchmark -> score, both in the order of tables."""


def with_teacher_as_author(frame: pd.DataFrame) -> pd.DataFrame:
    """Count every token as the teacher's where it answers alone: there the trace calls it student."""
    helped = frame["method"] != "teacher"
    moved = {"teacher_tokens": frame["completion_tokens"], "call_ratio": 1.0, "student_tokens": 0,
             "teacher_prefilled": read_by_student(frame), "student_prefilled": 0, "student_reread": 0,
             "teacher_cached": frame["student_cached"], "student_cached": 0,
             "teacher_seconds": frame["student_seconds"], "student_seconds": 0.0}
    return frame.assign(**{name: frame[name].where(helped, value) for name, value in moved.items()})


def read_by_student(frame: pd.DataFrame) -> pd.Series[float]:
    """Tokens that the student read and did not write: by its server's word, where it has one (`relay.prices`)."""
    return frame["student_reread"].where(frame["student_reread"] > 0, frame["student_prefilled"])


def score(frame: pd.DataFrame, *, draws: int, seed: int) -> Scores:
    """Score every method on every benchmark, with the same problems drawn for all."""
    frame = with_teacher_as_author(frame)
    columns = [*COLUMNS, *[name for name in OPTIONAL if name in frame]]
    if JUDGED in frame:
        frame = frame.assign(judged=frame[JUDGED].where(frame[JUDGED].notna(), frame["correct"]).astype(bool))
    found: dict[str, dict[str, Score]] = {name: {} for name in in_order(frame["method"].unique())}
    for benchmark, rows in frame.groupby("benchmark", sort=False):
        answers = {str(name): _answers(group, columns) for name, group in rows.groupby("method", sort=False)}
        estimates = bootstrap(answers, draws=draws, seed=seed, benchmark=str(benchmark))
        for name in in_order(answers):
            problems, samples, _ = answers[name].values.shape
            column = dict(zip(columns, estimates[name], strict=True))
            column["accuracy"] = column.pop("correct")
            found[name][str(benchmark)] = Score(problems=problems, samples=samples, **column)
    return found


def average(scores: Sequence[Score]) -> Score:
    """The mean over benchmarks, each counting alike."""
    judged, costs = ([value for value in column if value is not None]
                     for column in ([one.judged for one in scores], [one.cost for one in scores]))
    return Score(
        accuracy=mean([one.accuracy for one in scores]), call_ratio=mean([one.call_ratio for one in scores]),
        completion_tokens=mean([one.completion_tokens for one in scores]),
        teacher_tokens=mean([one.teacher_tokens for one in scores]), calls=mean([one.calls for one in scores]),
        problems=sum(one.problems for one in scores), samples=max(one.samples for one in scores),
        judged=mean(judged) if len(judged) == len(scores) else None,
        cost=mean(costs) if len(costs) == len(scores) else None,
    )


def averages(scores: Scores, methods: Iterable[str]) -> dict[str, Score] | None:
    """The averages of several methods over the benchmarks that all of them answered; None when one is missing."""
    names = list(methods)
    if any(name not in scores for name in names):
        return None
    shared = [one for one in scores[names[0]] if all(one in scores[name] for name in names)]
    return {name: average([scores[name][one] for one in shared]) for name in names} if shared else None


def in_order(names: Iterable[str]) -> list[str]:
    """Methods in the order of tables."""
    rank = {name: place for place, name in enumerate(ORDER)}
    return sorted(names, key=lambda name: (rank.get(name, len(ORDER) - 1.5), name))


def _answers(rows: pd.DataFrame, columns: Sequence[str]) -> Answers:
    """Rows of one method on one benchmark as an array; the problems keep their order."""
    places, ids = pd.factorize(rows["problem_id"])
    numbers = rows.groupby("problem_id", sort=False).cumcount().to_numpy()
    values = np.full((len(ids), int(numbers.max()) + 1, len(columns)), np.nan)
    values[places, numbers] = rows[list(columns)].to_numpy(dtype=np.float64)
    return Answers([str(one) for one in ids], values)
