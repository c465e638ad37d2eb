"""Cascade: the student answers several times; where it does not agree with itself, the teacher answers.

What is kept is the answer of the majority. All samples are paid for, whoever answers in the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from relayllm.evaluation.records import Record, record_of
from relayllm.evaluation.routers.router import Asker
from relayllm.grading import Grade, grade
from relayllm.problems.problem import Problem
from relayllm.relay.trace import Trace


@dataclass(frozen=True, slots=True)
class Vote:
    """The majority answer of one question's samples, and how many gave it."""

    agreement: float
    """Share of the samples that give the commonest answer."""
    trace: Trace
    """The first of those."""
    grade: Grade
    student_tokens: int
    """Of all samples, and so are the seconds."""
    student_seconds: float


class CascadeRouter:
    """The score is the share of samples that disagree."""

    asks_first = True

    def calibrate(self, asker: Asker, problems: Sequence[Problem]) -> Sequence[float]:
        """Nothing to learn; returns the scores of training problems."""
        return self.score(asker, problems)

    def score(self, asker: Asker, problems: Sequence[Problem]) -> Sequence[float]:
        """Per question the share of samples that disagree with the majority."""
        return [1.0 - vote.agreement for vote in _votes(asker, problems)]

    def kept(self, asker: Asker, problems: Sequence[Problem], base: Sequence[Record]) -> Sequence[Record]:
        """The majority's answers, with the tokens of all samples."""
        votes = {problem.id: (problem, vote) for problem, vote in zip(problems, _votes(asker, problems), strict=True)}
        return [_record(*votes[record.problem_id], record) for record in base]


def vote_of(problem: Problem, traces: Sequence[Trace]) -> Vote:
    """The commonest answer of the samples, the first of several as common; an answer that is none agrees with none."""
    grades = [grade(trace.text, problem) for trace in traces]
    names = [f"none {place}" if one.extracted is None else one.extracted.strip() for place, one in enumerate(grades)]
    name, count = Counter(names).most_common(1)[0]
    first = names.index(name)
    return Vote(count / len(traces), traces[first], grades[first],
                sum(trace.ledger.student_tokens for trace in traces),
                sum(trace.ledger.student_seconds for trace in traces))


def _votes(asker: Asker, problems: Sequence[Problem]) -> list[Vote]:
    samples = asker.config.samples
    traces = asker.answers("base", problems, samples=samples)
    return [vote_of(problem, traces[index * samples:(index + 1) * samples]) for index, problem in enumerate(problems)]


def _record(problem: Problem, vote: Vote, base: Record) -> Record:
    mine = record_of(base.method, base.benchmark, problem, vote.trace, vote.grade)
    return replace(mine, sample=base.sample, student_tokens=vote.student_tokens, student_seconds=vote.student_seconds)
