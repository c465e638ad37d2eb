"""Continue the same prefix with help and without: the table that `evaluation.analysis.call_value` reads.

At the places of calls the other way is to go on alone; at a place of an answer that never called, it is to call there.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relayllm.config import EvaluateConfig
from relayllm.engines.decoder import RelayDecoder
from relayllm.evaluation.answering import options_of
from relayllm.evaluation.methods import Cost
from relayllm.grading import grade
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.relay.command import without_commands
from relayllm.relay.detokenizer import read
from relayllm.relay.policy import Scripted
from relayllm.relay.trace import Trace


@dataclass(frozen=True, slots=True)
class Place:
    """A position of an answer, and how that answer came out."""

    problem: Problem
    trace: Trace
    position: int
    called: bool


def counterfactuals(decoder: RelayDecoder, benchmarks: Mapping[str, Sequence[Problem]], config: EvaluateConfig,
                    cost: Cost) -> list[dict[str, Any]]:
    """Two rows per place: as the policy went on, and the other way. Greedy, one continuation each."""
    rows: list[dict[str, Any]] = []
    for name, problems in benchmarks.items():
        options = {**options_of(config, name), "n": 1, "temperature": 0.0, "teacher_temperature": 0.0}
        some = list(problems)[:config.call_value_problems]
        traces = decoder.generate([messages(problem) for problem in some], seed=config.seed, **options)
        found = [place for problem, trace in zip(some, traces, strict=True) for place in _places(problem, trace)]
        rows += [_row(place, place.called, place.trace.text, config) for place in found]
        for called in (True, False):
            chosen = [place for place in found if place.called is called]
            prefixes = [[*place.trace.prompt_ids, *place.trace.token_ids[:place.position]] for place in chosen]
            other = {"teacher_enabled": False} if called else {
                "policy": Scripted(script={row: [(0, cost.mean_n)] for row in range(len(chosen))})}
            for place, trace in zip(chosen, decoder.generate(prefixes, **{**options, **other}), strict=True):
                before = without_commands(place.trace.token_ids[:place.position], decoder.commands)
                rows.append(_row(place, not called, read(decoder.tokenizer, before) + trace.text, config))
    return rows


def _places(problem: Problem, trace: Trace) -> list[Place]:
    """Every call, or one place of an answer without: drawn by the problem's name."""
    if trace.calls:
        return [Place(problem, trace, call.position, True) for call in trace.calls]
    return [Place(problem, trace, random.Random(problem.id).randrange(len(trace.token_ids)), False)]


def _row(place: Place, helped: bool, text: str, config: EvaluateConfig) -> dict[str, Any]:
    return {"problem_id": place.problem.id, "place": place.position, "called": place.called, "help": helped,
            "correct": grade(text, place.problem, config.grading_seconds).correct}
