"""Answer benchmarks with a method and grade what it said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from relayllm.config import EvaluateConfig
from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.loading import load_model, load_tokenizer
from relayllm.engines.teacher_only import RemoteGenerator
from relayllm.errors import ConfigError
from relayllm.evaluation.calibration import Calibration, Writer
from relayllm.evaluation.methods import Cost, Method
from relayllm.evaluation.records import Record, record_of
from relayllm.grading import grade
from relayllm.problems.catalogue import row
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.progress import printer
from relayllm.relay.randomness import key_of, uniform
from relayllm.relay.trace import Trace
from relayllm.settings import current_settings


@dataclass
class Models:
    """The models of one evaluation, each loaded once, when it is needed first."""

    base: Path
    warmup: Path
    teacher: Path
    others: Path
    """A folder per teacher that nobody was trained with."""
    grpo: Path

    @cached_property
    def _teacher(self) -> tuple[Any, Any]:
        return current_settings().teacher_url or load_model(self.teacher), load_tokenizer(self.teacher)

    def writer(self, method: Method) -> Writer:
        """Who answers for a method: a decoder, or the server that stands in for the teacher."""
        url = current_settings().teacher_url
        if method.student == "teacher" and url:
            return RemoteGenerator(url, load_tokenizer(self.teacher))
        return self.decoder(method)

    def decoder(self, method: Method) -> RelayDecoder:
        """The student of a method, with the teacher when it has one."""
        folders = {"base": self.base, "warmup": self.warmup, "teacher": self.teacher}
        folder = folders.get(method.student, self.grpo / method.student / "model")
        teacher, tokenizer = self._helper(method)
        return RelayDecoder.from_models(load_model(folder), load_tokenizer(folder), teacher, tokenizer,
                                        name=method.student)

    def _helper(self, method: Method) -> tuple[Any, Any]:
        if not method.helped:
            return None, None
        if method.teacher is None:
            return self._teacher
        return load_model(self.others / method.teacher), load_tokenizer(self.others / method.teacher)


def options_of(config: EvaluateConfig, benchmark: str) -> dict[str, Any]:
    """Options of the decoder for one benchmark: greedy, or sampled for avg@k."""
    decoding = config.decoding.model_dump()
    if row(benchmark).greedy:
        return {**decoding, "temperature": 0.0, "teacher_temperature": 0.0}
    return {**decoding, "n": row(benchmark).samples}


def answer(method: Method, models: Models, benchmarks: Mapping[str, Sequence[Problem]], config: EvaluateConfig, *,
           cost: Cost | None, calibration: Calibration, say: Callable[[str], None] = print) -> list[Record]:
    """All answers of one method, graded. What it must be set to is sought on training problems first."""
    decoder = models.writer(method)
    given = {**method.options, **_set(method, decoder, cost, calibration)}
    records: list[Record] = []
    for name, problems in benchmarks.items():
        options = {**options_of(config, name), **given}
        traces = decoder.generate([messages(problem) for problem in problems], seed=config.seed,
                                  progress=printer(f"{method.name}, {name}", end=False), **options)
        records += _graded(method.name, name, problems, traces, config)
    right = sum(record.correct for record in records) / max(1, len(records))
    ratio = sum(record.call_ratio for record in records) / max(1, len(records))
    say(f"{method.name}: {len(records)} answers, accuracy {right:.3f}, call ratio {ratio:.4f}")
    return records


def _set(method: Method, decoder: Writer, cost: Cost | None, calibration: Calibration) -> dict[str, Any]:
    """The options that follow from the relay's cost and from training problems."""
    if method.call_ratio_factor is not None:
        return {"call_bias": calibration.call_bias(method.name, method.call_ratio_factor, decoder)}
    if method.policy is None:
        return {}
    needed = cost or _missing(method)
    threshold = calibration.threshold(method.name, decoder, needed) if method.name == "entropy" else 0.0
    return {"policy": method.policy(needed, threshold)}


def _graded(method: str, benchmark: str, problems: Sequence[Problem], traces: Sequence[Trace],
            config: EvaluateConfig) -> Iterator[Record]:
    per_problem = len(traces) // max(1, len(problems))
    for index, trace in enumerate(traces):
        problem = problems[index // per_problem]
        graded = grade(trace.text, problem, config.grading_seconds)
        yield record_of(method, benchmark, problem, trace, graded)


def cost_of(records: Sequence[Record]) -> Cost:
    """What a relay spent: the call ratio as the report gives it, a mean over benchmarks of their means."""
    asked = [n for record in records for n in record.requested]
    ratios: dict[str, list[float]] = {}
    for record in records:
        ratios.setdefault(record.benchmark, []).append(record.call_ratio)
    ratio = sum(sum(of_one) / len(of_one) for of_one in ratios.values()) / max(1, len(ratios))
    return Cost(ratio, max(1, round(sum(asked) / len(asked))) if asked else 1)


def random_query(base: Sequence[Record], teacher: Sequence[Record], cost: Cost, seed: int) -> list[Record]:
    """The router that sends a random share of the questions to the teacher, drawn from the two sets of records.

    The share is the relay's call ratio, so that both spend the same share of teacher tokens.
    """
    theirs = {(record.benchmark, record.problem_id, record.sample): record for record in teacher}
    drawn: list[Record] = []
    for index, record in enumerate(base):
        routed = uniform(key_of(seed, 0x40E7), index) < cost.call_ratio
        chosen = theirs[record.benchmark, record.problem_id, record.sample] if routed else record
        drawn.append(_routed(chosen) if routed else replace(chosen, method="random-query"))
    return drawn


def _routed(record: Record) -> Record:
    """A whole answer of the teacher: every token is one it wrote."""
    return replace(record, method="random-query", teacher_tokens=record.completion_tokens, student_tokens=0,
                   call_ratio=1.0)


def _missing(method: Method) -> Cost:
    raise ConfigError(f"{method.name} is matched to the relay's call ratio: add the method that evaluate.relay names "
                      "to evaluate.methods")
