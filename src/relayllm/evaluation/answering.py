"""Answer benchmarks with every method, each after those it is matched to, and grade what was said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from relayllm.config import EvaluateConfig, RoutersConfig
from relayllm.errors import ConfigError
from relayllm.evaluation.cached_writer import CachedWriter
from relayllm.evaluation.calibration import Calibration, Setting
from relayllm.evaluation.cost import Cost, cost_of
from relayllm.evaluation.methods import Method
from relayllm.evaluation.models import Models
from relayllm.evaluation.records import Record, record_of
from relayllm.evaluation.routers.routing import route_threshold, routed
from relayllm.grading import grade
from relayllm.problems.catalogue import row
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.progress import Progress, print_line, printer
from relayllm.relay.policy import CallAtOnce
from relayllm.relay.trace import Prefix, Trace

Benchmarks = Mapping[str, Sequence[Problem]]


def options_of(config: EvaluateConfig, benchmark: str) -> dict[str, Any]:
    """Options of the decoder for one benchmark: greedy, or sampled for avg@k."""
    if row(benchmark).greedy:
        return config.decoding.greedy().options()
    return {**config.decoding.options(), "n": row(benchmark).samples}


class Evaluation:
    """Answers method by method; what was answered stays in `done`, what was calibrated in `calibration`."""

    def __init__(self, config: EvaluateConfig, models: Models, benchmarks: Benchmarks, training: Sequence[Problem], *,
                 say: Callable[[str], None] = print_line) -> None:
        self._config, self._models, self._benchmarks, self._say = config, models, benchmarks, say
        self._training = training[:config.routers.problems]
        self.calibration = Calibration(training[:config.calibration_problems], config)
        self.done: dict[str, list[Record]] = {}
        self._progress = Progress("evaluate")

    def answer_all(self, methods: Sequence[Method]) -> dict[str, list[Record]]:
        """Every method's records, the relay's before its rivals' and those of routed questions last."""
        ordered = sorted(methods, key=lambda one: (one.follows_the_relay, one.query_router is not None))
        for one in ordered:
            self._models.writer(one)  # what is asked for wrongly is said before anything is decoded
        answers = sum(len(problems) * row(name).samples for name, problems in self._benchmarks.items())
        self._progress.expect(answers * sum(one.query_router is None for one in ordered))
        for one in ordered:
            self.done[one.name] = self._route(one) if one.query_router else self._decode(one)
            self._say(_line(one.name, self.done[one.name]))
        return self.done

    def cost(self, one: Method) -> Cost:
        """What a method may spend.

        Raises:
            ConfigError: it follows the relay, which was not evaluated.
        """
        if self._config.relay not in self.done:
            raise ConfigError(f"{one.name} is matched to the relay's call ratio: add the method that evaluate.relay "
                              f"names ({self._config.relay}) to evaluate.methods")
        return cost_of(self.done[self._config.relay]).times(one.budget)

    def _decode(self, one: Method) -> list[Record]:
        writer = self._models.writer(one)
        given = {**one.options, **self._setting(one, writer)}
        records: list[Record] = []
        for name, problems in self._benchmarks.items():
            options = {**options_of(self._config, name), **given}
            traces = writer.generate([messages(problem) for problem in problems], seed=self._config.seed,
                                     progress=self._progress.part(f"{one.name}, {name}"), **options)
            records += _graded(one.name, name, problems, traces, self._config)
        return records

    def _setting(self, one: Method, writer: CachedWriter) -> dict[str, Any]:
        """The options that follow from the relay's cost and from training problems."""
        if one.call_ratio_factor is not None:
            found = self.calibration.call_setting(one.name, one.call_ratio_factor, writer).options()
        elif one.token_router is not None:
            asker = BaseAndTeacher(self._config, self._models)
            if said := one.token_router.prepare(asker, self._training, self.cost(one)):
                self._say(f"{one.name}: {said}")
            found = self.calibration.threshold(one.name, one.token_router, writer, self._models.pair(one),
                                               self.cost(one))
        else:
            return {} if one.policy is None else {"policy": one.policy(self.cost(one))}
        if warning := self.calibration.found[one.name].warning(one.name):
            self._say(warning)
        return found

    def _route(self, one: Method) -> list[Record]:
        """A router between two sets of records, calibrated so that it sends the relay's share of training questions."""
        router, share = one.query_router, self.cost(one).call_ratio
        assert router is not None
        missing = [name for name in ("base", "teacher") if name not in self.done]
        if missing:
            raise ConfigError(f"{one.name} is drawn from other methods' records: add {', '.join(missing)} to "
                              "evaluate.methods")
        asker = BaseAndTeacher(self._config, self._models)
        threshold = route_threshold(router.calibrate(asker, self._training), share)
        self.calibration.found[one.name] = Setting(threshold.score, share, share, (0.0, 1.0))
        records, by_record = list[Record](), list[float]()
        for name, problems in self._benchmarks.items():
            base = [record for record in self.done["base"] if record.benchmark == name]
            scores = dict(zip([problem.id for problem in problems], router.score(asker, problems), strict=True))
            records += router.kept(asker, problems, base)
            by_record += [scores[record.problem_id] for record in base]
        return routed(one.name, records, self.done["teacher"], by_record, threshold, self._config.seed,
                      asks_first=router.asks_first)


class BaseAndTeacher:
    """What query routers may ask (`routers.router.Asker`)."""

    def __init__(self, config: EvaluateConfig, models: Models) -> None:
        self.config: RoutersConfig = config.routers
        self._decoding, self._seed, self._models = config.decoding, config.seed, models

    def answers(self, who: str, problems: Sequence[Problem], *, samples: int = 1) -> list[Trace]:
        """Greedy answers of `base` or `teacher`; more than one sample are drawn at the configured temperature."""
        decoding = self._decoding.greedy() if samples == 1 else self._decoding
        writer = self._models.writer(Method(who, who, helped=False))
        return writer.generate([messages(problem) for problem in problems], n=samples, seed=self._seed,
                               **decoding.options())

    def continued(self, problems: Sequence[Problem], prefixes: Sequence[Prefix], *, n: int) -> list[Trace]:
        """The student's answers, gone on with after the teacher's next n tokens; greedy.

        The call is not written: an untrained student has no command tokens.
        """
        options = self._decoding.greedy().options()
        return self._models.writer(Method("base", "base")).generate(
            [messages(problem) for problem in problems], prefixes=prefixes, policy=CallAtOnce(n=n, written=False),
            progress=printer("places of training answers", end=False), **options)

    def states_at(self, problems: Sequence[Problem], prefixes: Sequence[Prefix]) -> np.ndarray:
        """The student's hidden states behind prefixes of its answers. (problems, width)"""
        states = self._states(problems, prefixes)
        return states[:, :states.shape[1] // 2]  # at the last token

    def states(self, problems: Sequence[Problem]) -> np.ndarray:
        """What the untrained student makes of the questions. (problems, 2 width)"""
        return self._states(problems, None)

    def _states(self, problems: Sequence[Problem], prefixes: Sequence[Prefix] | None) -> np.ndarray:
        return self._models.prompt_states([messages(problem) for problem in problems], prefixes,
                                          enable_thinking=self._decoding.enable_thinking)


def _line(name: str, records: Sequence[Record]) -> str:
    right = sum(record.correct for record in records) / max(1, len(records))
    ratio = sum(record.call_ratio for record in records) / max(1, len(records))
    return f"{name}: {len(records)} answers, accuracy {right:.3f}, call ratio {ratio:.4f}"


def _graded(name: str, benchmark: str, problems: Sequence[Problem], traces: Sequence[Trace],
            config: EvaluateConfig) -> Iterator[Record]:
    per_problem = len(traces) // max(1, len(problems))
    for index, trace in enumerate(traces):
        problem = problems[index // per_problem]
        yield record_of(name, benchmark, problem, trace, grade(trace.text, problem, config.grading_seconds))
