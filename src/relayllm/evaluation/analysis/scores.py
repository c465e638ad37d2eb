"""From records to estimates: every method on every benchmark, and on average."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from relayllm.evaluation.analysis.statistics import Answers, Estimate, bootstrap, mean
from relayllm.evaluation.records import JUDGED

COLUMNS = ("correct", "call_ratio", "completion_tokens", "teacher_tokens", "calls")
ORDER = ("base", "warmup", "grpo", "random-query", "random-position", "entropy", "relay-simple", "relay-difficulty",
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


Scores = Mapping[str, Mapping[str, Score]]
"""method -> benchmark -> score, both in the order of tables."""


def with_teacher_as_author(frame: pd.DataFrame) -> pd.DataFrame:
    """Count every token as the teacher's where it answers alone: there the trace calls it student."""
    alone = frame["method"] == "teacher"
    teacher_tokens = frame["teacher_tokens"].where(~alone, frame["completion_tokens"])
    return frame.assign(teacher_tokens=teacher_tokens, call_ratio=frame["call_ratio"].where(~alone, 1.0))


def score(frame: pd.DataFrame, *, draws: int, seed: int) -> Scores:
    """Score every method on every benchmark, with the same problems drawn for all."""
    frame = with_teacher_as_author(frame)
    columns = [*COLUMNS, *([JUDGED] if JUDGED in frame else [])]
    if JUDGED in frame:
        frame = frame.assign(judged=frame[JUDGED].where(frame[JUDGED].notna(), frame["correct"]).astype(bool))
    found: dict[str, dict[str, Score]] = {name: {} for name in in_order(frame["method"].unique())}
    for benchmark, rows in frame.groupby("benchmark", sort=False):
        answers = {str(name): _answers(group, columns) for name, group in rows.groupby("method", sort=False)}
        estimates = bootstrap(answers, draws=draws, seed=seed, benchmark=str(benchmark))
        for name in in_order(answers):
            problems, samples, _ = answers[name].values.shape
            accuracy, call_ratio, tokens, teacher_tokens, calls, *judged = estimates[name]
            found[name][str(benchmark)] = Score(accuracy, call_ratio, tokens, teacher_tokens, calls, problems, samples,
                                                judged[0] if judged else None)
    return found


def average(scores: Sequence[Score]) -> Score:
    """The mean over benchmarks, each counting alike."""
    judged = [one.judged for one in scores if one.judged is not None]
    return Score(
        accuracy=mean([one.accuracy for one in scores]), call_ratio=mean([one.call_ratio for one in scores]),
        completion_tokens=mean([one.completion_tokens for one in scores]),
        teacher_tokens=mean([one.teacher_tokens for one in scores]), calls=mean([one.calls for one in scores]),
        problems=sum(one.problems for one in scores), samples=max(one.samples for one in scores),
        judged=mean(judged) if len(judged) == len(scores) else None,
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
