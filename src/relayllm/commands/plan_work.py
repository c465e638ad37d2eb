"""`relay plan`, the work of a profile: answers decoded and rows trained by every stage, their tokens and GPU hours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from relayllm.config import Params
from relayllm.engines.checkpoints.model_shapes import Shape
from relayllm.evaluation.calibration import HALVINGS
from relayllm.evaluation.methods import Method, method
from relayllm.evaluation.routers.cascade import CascadeRouter
from relayllm.evaluation.routers.query_router import LearnedQueryRouter
from relayllm.evaluation.routers.token_router import PLACES, LearnedTokenRouter
from relayllm.training.memory import GIB, PROMPT_TOKENS

DECODE_SHARE, TRAIN_SHARE = 0.4, 0.35
"""Assumed shares of a GPU's memory bandwidth while decoding, and of its arithmetic while training."""
BENCHMARK_PROBLEMS = {"minerva": 272, "math-500": 500, "gsm8k": 1319, "olympiadbench": 674, "aime-2024": 30,
                      "aime-2025": 30, "bbeh": 4520, "mmlu-pro": 12_032, "supergpqa": 26_529}


@dataclass(frozen=True, slots=True)
class Gpu:
    """A kind of accelerator, by its data sheet."""

    memory: float
    """GiB."""
    bandwidth: float
    """Bytes per second."""
    arithmetic: float
    """Dense bfloat16 operations per second."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Measured tokens per second of one GPU; None where there is no measurement."""

    student: float | None = None
    teacher: float | None = None
    update: float | None = None


@dataclass(frozen=True, slots=True)
class StageWork:
    """What one stage does: steps, tokens and GPU hours."""

    stage: str
    steps: int
    """Batches trained, or answers decoded."""
    tokens: float
    """Tokens written, or trained on."""
    hours: float | None
    """GPU hours; None where there is no way to tell."""
    measured: bool


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """A profile on a kind of GPU: what each stage decodes and trains."""

    params: Params
    gpu: Gpu
    student: Shape
    teacher: Shape
    answer: int
    """Tokens of an answer."""
    speeds: Speeds

    def stages(self) -> Iterator[StageWork]:
        """Every stage that decodes or trains, in the order of the pipeline."""
        params = self.params
        if params.filter.enabled:
            yield self._decode("filter", params.filter.problems * params.filter.samples, by_teacher=True)
        written = params.warmup_set.problems * params.warmup_set.samples
        yield self._decode("warmup_set", written)
        epochs = params.warmup.epochs
        # A step with recomputed activations costs four forwards, three where weights need no gradient; KL adds the
        # reference's, mini-batches the old policy's.
        yield self._train("warmup", epochs * math.ceil(written / params.warmup.batch_size), epochs * written,
                          3 if params.warmup.lora else 4)
        grpo = params.grpo
        rollouts = grpo.steps * grpo.problems_per_step * grpo.group_size
        forwards = (3 if grpo.lora else 4) + (grpo.kl > 0) + (grpo.mini_batches > 1)
        for name in grpo.runs:
            yield self._decode(f"grpo {name}: roll-outs", rollouts)
            yield self._train(f"grpo {name}: updates", grpo.steps * grpo.mini_batches, rollouts, forwards)
        yield from self._evaluate()

    def _evaluate(self) -> Iterator[StageWork]:
        """Query routers are drawn from the records of others; what they and the settings cost on training problems."""
        config = self.params.evaluate
        methods = [method(name, list(self.params.grpo.runs), config.relay, list(self.params.base_models.other_teachers))
                   for name in config.methods]
        answers = sum(_answers(self.params, name) for name in self.params.ingest.benchmarks)
        training = config.routers.problems
        asked = training * any(isinstance(one.query_router, LearnedQueryRouter) for one in methods)
        yield self._decode("evaluate: teacher", answers + asked, by_teacher=True)
        others = [one for one in methods if one.name != "teacher" and one.query_router is None]
        yield self._decode(f"evaluate: {len(others)} other methods", answers * len(others))
        if any(isinstance(one.query_router, CascadeRouter) for one in methods):
            yield self._decode("evaluate: samples of the cascade", config.routers.samples * (answers + training))
        if tried := self._tried(methods):
            yield self._decode("evaluate: routers and settings, at most", tried)

    def _tried(self, methods: Sequence[Method]) -> int:
        """Answers to training problems: what routers learn from, and the settings that a search tries at most."""
        config = self.params.evaluate
        searched = [one for one in methods if one.token_router is not None or one.call_ratio_factor is not None]
        learning = [one for one in methods if isinstance(one.token_router, LearnedTokenRouter)]
        own = bool(learning) or any(isinstance(one.query_router, LearnedQueryRouter) for one in methods)
        return (len(searched) * (HALVINGS + 2) * config.calibration_problems
                + (own + len(learning) * PLACES) * config.routers.problems)

    def _decode(self, stage: str, answers: int, by_teacher: bool = False) -> StageWork:
        given = self.speeds.teacher if by_teacher else self.speeds.student
        shape, slots = self.teacher if by_teacher else self.student, self.params.grpo.decoding.slots
        speed = given or decode_speed(shape, self.gpu, slots, self.answer)
        hours = answers * self.answer / speed / 3600 if self._is_pretrained or given else None
        return StageWork(stage, answers, answers * self.answer, hours, given is not None)

    def _train(self, stage: str, steps: int, rows: int, forwards: int) -> StageWork:
        tokens = rows * (PROMPT_TOKENS + self.answer)
        speed = self.speeds.update or self.gpu.arithmetic * TRAIN_SHARE / (2 * self.student.parameters * forwards)
        hours = tokens / speed / 3600 if self._is_pretrained or self.speeds.update else None
        return StageWork(stage, steps, tokens, hours, self.speeds.update is not None)

    @property
    def _is_pretrained(self) -> bool:
        return self.params.base_models.student.kind != "tiny"


def _answers(params: Params, benchmark: str) -> int:
    problems = min(params.ingest.benchmark_problems,
                   BENCHMARK_PROBLEMS.get(benchmark, params.ingest.benchmark_problems))
    return problems * (32 if benchmark.startswith("aime") else 1)


def decode_speed(shape: Shape, gpu: Gpu, rows: int, answer: int) -> float:
    """Tokens per second when every step reads the weights and half-full caches at a share of the bandwidth."""
    fit = max(1, int((gpu.memory * GIB * 0.9 - 2 * shape.parameters)
                     / (shape.cache_bytes("bfloat16") * (PROMPT_TOKENS + answer))))
    return step_speed(shape, gpu, min(rows, fit), answer)


def step_speed(shape: Shape, gpu: Gpu, rows: int, answer: int) -> float:
    """Tokens per second with so many rows at once, whether they fit or not."""
    read = 2 * shape.parameters + rows * shape.cache_bytes("bfloat16") * (PROMPT_TOKENS + answer / 2)
    return rows * gpu.bandwidth * DECODE_SHARE / read


def work_table(works: Sequence[StageWork]) -> Iterator[str]:
    """The table as lines of text; ~ marks hours that nobody measured."""
    width = max(len(work.stage) for work in works)
    yield f"  {'stage':{width}}  {'steps or answers':>16}  {'tokens':>9}  {'GPU hours':>10}"
    for work in works:
        hours = hours_text(work.hours, measured=work.measured)
        yield f"  {work.stage:{width}}  {work.steps:>16,}  {_short(work.tokens):>9}  {hours:>10}"
    total = sum(work.hours or 0 for work in works)
    if total:
        hours = hours_text(total, measured=all(work.measured for work in works))
        yield f"  {'all':{width}}  {'':>16}  {_short(sum(w.tokens for w in works)):>9}  {hours:>10}"


def hours_text(hours: float | None, *, measured: bool) -> str:
    """Hours with a digit behind the point; two significant ones where there is less than one; - where none are told."""
    if hours is None:
        return "-"
    return ("" if measured else "~") + (f"{hours:,.1f}" if hours >= 1 else f"{hours:.2g}")


def _short(count: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f}"
