"""Continue the same prefix with help and without: the table that `evaluation.analysis.call_value` reads.

At the places of calls the other way is to go on alone; at a place of an answer that never called, it is to call there.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relayllm.config import EvaluateConfig
from relayllm.evaluation.cached_writer import CachedWriter
from relayllm.evaluation.cost import Cost
from relayllm.grading import grade
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.progress import printer
from relayllm.relay.policy import CallAtOnce
from relayllm.relay.trace import Trace


@dataclass(frozen=True, slots=True)
class Place:
    """A position of an answer, and how that answer came out."""

    problem: Problem
    trace: Trace
    position: int
    called: bool


def counterfactuals(writer: CachedWriter, benchmarks: Mapping[str, Sequence[Problem]], config: EvaluateConfig,
                    cost: Cost) -> list[dict[str, Any]]:
    """Two rows per place: as the policy went on, and the other way. Greedy, one continuation each."""
    rows: list[dict[str, Any]] = []
    for name, problems in benchmarks.items():
        options = config.decoding.greedy().options()
        some = list(problems)[:config.call_value_problems]
        traces = writer.generate([messages(problem) for problem in some], seed=config.seed, **options)
        found = [place for problem, trace in zip(some, traces, strict=True) for place in _places(problem, trace)]
        rows += [_row(place, place.called, place.trace.text, config) for place in found]
        for called in (True, False):
            chosen = [place for place in found if place.called is called]
            other = {"teacher_enabled": False} if called else {"policy": CallAtOnce(n=cost.mean_n)}
            continued = writer.generate([messages(place.problem) for place in chosen],
                                        prefixes=[place.trace.prefix(place.position) for place in chosen],
                                        progress=printer(f"continuations, {name}", end=False), **{**options, **other})
            rows += [_row(place, not called, trace.text, config)
                     for place, trace in zip(chosen, continued, strict=True)]
    return rows


def _places(problem: Problem, trace: Trace) -> list[Place]:
    """Every call, or one place of an answer without: drawn by the problem's name."""
    if trace.calls:
        return [Place(problem, trace, call.position, True) for call in trace.calls]
    return [Place(problem, trace, random.Random(problem.id).randrange(len(trace.token_ids)), False)]


def _row(place: Place, helped: bool, text: str, config: EvaluateConfig) -> dict[str, Any]:
    return {"problem_id": place.problem.id, "place": place.position, "called": place.called, "help": helped,
            "correct": grade(text, place.problem, config.grading_seconds).correct}
