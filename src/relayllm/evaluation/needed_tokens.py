"""Needed teacher tokens: the shortest call at the same place with which a right answer stays right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relayllm.config import EvaluateConfig
from relayllm.evaluation.cached_writer import CachedWriter
from relayllm.grading import grade
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.progress import printer
from relayllm.relay.policy import CallAtOnce
from relayllm.relay.trace import Call, Trace

EXACT = 16
"""Up to here every length is tried; above it each is a quarter longer than the one before."""


@dataclass(frozen=True, slots=True)
class _Spent:
    problem: Problem
    trace: Trace
    call: Call

    def enough(self, length: int, other: Trace, seconds: float) -> bool:
        """Whether the answer with the shorter call is right, and buys nothing elsewhere instead."""
        saved = self.call.delivered - length
        return (other.ledger.teacher_tokens + saved <= self.trace.ledger.teacher_tokens
                and grade(other.text, self.problem, seconds).correct)


def needed_tokens(writer: CachedWriter, benchmarks: Mapping[str, Sequence[Problem]],
                  config: EvaluateConfig) -> list[dict[str, Any]]:
    """One row per call of a right answer: the tokens it delivered, and the fewest that would have done.

    Greedy. The student goes on as it likes behind the shorter call; 0 is an answer that comes right with no further
    help at all. Every length up to 16 is tried, so `needed` is exact there; above, it is at most a quarter too long.
    """
    rows: list[dict[str, Any]] = []
    for name, problems in benchmarks.items():
        options = config.decoding.greedy().options()
        some = list(problems)[:config.call_value_problems]
        traces = writer.generate([messages(problem) for problem in some], seed=config.seed, **options)
        calls = [_Spent(problem, trace, call) for problem, trace in zip(some, traces, strict=True)
                 if trace.calls and grade(trace.text, problem, config.grading_seconds).correct
                 for call in trace.calls if call.delivered]
        found = _shortest(writer, calls, options, config, name)
        rows += [{"problem_id": one.problem.id, "place": one.call.position, "spent": one.call.delivered,
                  "needed": found.get(place, one.call.delivered)} for place, one in enumerate(calls)]
    return rows


def lengths(longest: int) -> list[int]:
    """Lengths to try for a call, shortest first, below the one that it had."""
    tried, length = [], 0
    while length < longest:
        tried.append(length)
        length += 1 if length < EXACT else length // 4
    return tried


def _shortest(writer: CachedWriter, calls: Sequence[_Spent], options: Mapping[str, Any], config: EvaluateConfig,
              name: str) -> dict[int, int]:
    """Place in `calls` -> the shortest length that is enough, where one shorter than its own is."""
    found: dict[int, int] = {}
    for length in lengths(max((one.call.delivered for one in calls), default=0)):
        open_ = [place for place, one in enumerate(calls) if place not in found and length < one.call.delivered]
        way = {"policy": CallAtOnce(n=length, student_calls=True)} if length else {"teacher_enabled": False}
        others = writer.generate([messages(calls[place].problem) for place in open_],
                                 prefixes=[calls[place].trace.prefix(calls[place].call.position) for place in open_],
                                 progress=printer(f"calls of {length}, {name}", end=False), **{**options, **way})
        found |= {place: length for place, other in zip(open_, others, strict=True)
                  if calls[place].enough(length, other, config.grading_seconds)}
    return found
