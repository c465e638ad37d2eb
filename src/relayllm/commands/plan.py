"""`relay plan`: what a profile would download, hold in memory, decode and cost, before a GPU is rented.

Counts follow from the profile. Hours follow from the counts and a speed, which is either measured and given, or an
assumption of this file; the table says which. Nothing is loaded or downloaded.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass

from relayllm.commands.model_shapes import BYTES, Shape, activation_bytes, shape_of, zero_bytes
from relayllm.config import HubModel, Params, load_params
from relayllm.errors import ConfigError
from relayllm.settings import current_settings

GIB = 2**30
PROMPT_TOKENS = 150
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


GPUS = {
    "a100": Gpu(80, 2.0e12, 3.12e14),
    "h100": Gpu(80, 3.35e12, 9.89e14),
    "h200": Gpu(141, 4.8e12, 9.89e14),
}


@dataclass(frozen=True, slots=True)
class Speeds:
    """Measured tokens per second of one GPU; None where there is no measurement."""

    student: float | None = None
    teacher: float | None = None
    update: float | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What one stage does."""

    stage: str
    steps: int
    tokens: float
    """Tokens written, or trained on."""
    hours: float | None
    """GPU hours; None where there is no way to tell."""
    measured: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `relay plan`."""
    parser.add_argument("--profile", help="a file in params/, without .yaml; default: params.yaml")
    parser.add_argument("--gpu", choices=sorted(GPUS), default="h100", help="default: h100")
    parser.add_argument("--answer-tokens", type=int, default=1000, help="assumed mean length of an answer")
    for name in ("student", "teacher", "update"):
        parser.add_argument(f"--{name}-tokens-per-second", type=float, dest=name,
                            help="measured on one such GPU; without it hours are estimated from its data sheet")


def main(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    if arguments.answer_tokens < 1:
        raise ConfigError(f"--answer-tokens is {arguments.answer_tokens}: give 1 or more")
    name = arguments.profile
    path = current_settings().root / f"params/{name}.yaml" if name else current_settings().params
    speeds = Speeds(arguments.student, arguments.teacher, arguments.update)
    print("\n".join(report(load_params(path), arguments.gpu, arguments.answer_tokens, speeds)))
    return 0


def report(params: Params, gpu: str, answer_tokens: int, speeds: Speeds) -> Iterator[str]:
    """The plan as lines of text."""
    yield f"Profile {params.profile}: {', '.join(params.grpo.runs)}; {params.grpo.processes} process(es)"
    yield from ["", "Downloads", *_downloads(params)]
    yield from ["", f"Memory per GPU in GiB, by formula ({gpu}: {GPUS[gpu].memory:g})", *_memory(params, GPUS[gpu])]
    works = plan_work(params, GPUS[gpu], answer_tokens, speeds)
    yield from ["", f"Work, with answers of {min(answer_tokens, params.grpo.decoding.max_new_tokens):,} tokens "
                    "(an assumption: --answer-tokens)", *_work(works)]
    if any(work.hours is not None and not work.measured for work in works):
        yield from ["", f"~ is an estimate from the data sheet of one {gpu}: decoding at {DECODE_SHARE:.0%} of its "
                        f"memory bandwidth, training at", f"  {TRAIN_SHARE:.0%} of its arithmetic. Nobody measured it: "
                        "measure a step, then give --student-tokens-per-second and so on."]


def _downloads(params: Params) -> Iterator[str]:
    models = params.base_models
    if models.kind == "tiny":
        yield "  nothing: the tiny world generates its problems and trains its models"
        return
    for role, model in (("student", models.student), ("teacher", models.teacher), *models.other_teachers.items()):
        assert isinstance(model, HubModel)
        yield f"  {role}  {model.id} @ {model.revision}  {shape_of(model).published * 2 / 1e9:.1f} GB in bfloat16"
    yield f"  training problems  {params.ingest.train}, up to {params.ingest.train_problems:,}"
    yield f"  benchmarks  {', '.join(params.ingest.benchmarks)}"


def training_memory(params: Params, stage: int) -> dict[str, float]:
    """GiB per GPU of the larger training stage, GRPO, by what holds them."""
    student, grpo = shape_of(params.base_models.student), params.grpo
    rows = grpo.micro_batch_size
    tokens = PROMPT_TOKENS + grpo.decoding.max_new_tokens
    return {
        "policy": zero_bytes(student.parameters, stage, grpo.processes, grpo.dtype) / GIB,
        "reference": student.parameters * BYTES[grpo.dtype] * (grpo.kl > 0) / GIB,
        f"activations of {rows} full rows": activation_bytes(student, rows, tokens, grpo.dtype) / GIB,
    }


def decoding_memory(params: Params) -> dict[str, float]:
    """GiB of weights and of full caches while the relay decodes, when both models share a GPU."""
    decoding, dtype = params.grpo.decoding, params.base_models.dtype
    held = {}
    for role, model in (("student", params.base_models.student), ("teacher", params.base_models.teacher)):
        shape = shape_of(model)
        held[role] = shape.parameters * BYTES[dtype] / GIB
        held[f"{role}'s cache, a row"] = (PROMPT_TOKENS + decoding.max_new_tokens) * shape.cache_bytes(dtype) / GIB
    return held


def _memory(params: Params, gpu: Gpu) -> Iterator[str]:
    for stage in range(4):
        held = training_memory(params, stage)
        chosen = "  <- warm-up" * (stage == params.warmup.zero_stage)
        chosen += "  <- GRPO" * (stage == (2 if params.grpo.deepspeed else 0))
        names = ", ".join(f"{name} {size:.2f}" for name, size in held.items())
        yield f"  ZeRO-{stage}  {sum(held.values()):8.2f}  ({names}){chosen}"
    held = decoding_memory(params)
    rows = params.grpo.decoding.slots
    weights = held["student"] + held["teacher"]
    row = held["student's cache, a row"] + held["teacher's cache, a row"]
    yield f"  relay   {weights + rows * row:8.2f}  (student {held['student']:.2f}, teacher {held['teacher']:.2f}, " \
          f"{rows} rows of {row:.3f} at full length)"
    if weights + rows * row > gpu.memory:
        room = max(0, int((gpu.memory * 0.9 - weights) / row))
        yield f"  {rows} full rows do not fit: {room} do beside the weights; lower `slots`, or let a server hold the " \
              "teacher (RELAY_TEACHER_URL)"


def plan_work(params: Params, gpu: Gpu, answer_tokens: int, speeds: Speeds) -> list[Work]:
    """Steps, tokens and GPU hours of every stage that decodes or trains."""
    hub = params.base_models.kind == "hub"
    student, teacher = shape_of(params.base_models.student), shape_of(params.base_models.teacher)
    answer = min(answer_tokens, params.grpo.decoding.max_new_tokens)

    def decode(stage: str, answers: int, by_teacher: bool = False) -> Work:
        given = speeds.teacher if by_teacher else speeds.student
        speed = given or decode_speed(teacher if by_teacher else student, gpu, params.grpo.decoding.slots, answer)
        hours = answers * answer / speed / 3600 if hub or given else None
        return Work(stage, answers, answers * answer, hours, given is not None)

    def train(stage: str, steps: int, rows: int, forwards: int) -> Work:
        tokens = rows * (PROMPT_TOKENS + answer)
        speed = speeds.update or gpu.arithmetic * TRAIN_SHARE / (2 * student.parameters * forwards)
        hours = tokens / speed / 3600 if hub or speeds.update else None
        return Work(stage, steps, tokens, hours, speeds.update is not None)

    return list(_stages(params, decode, train))


def _stages(params: Params, decode, train) -> Iterator[Work]:  # type: ignore[no-untyped-def]
    if params.filter.enabled:
        yield decode("filter", params.filter.problems * params.filter.samples, True)
    written = params.warmup_set.problems * params.warmup_set.samples
    yield decode("warmup_set", written)
    epochs = params.warmup.epochs
    # A step with recomputed activations costs four forwards; KL adds the reference's, mini-batches the old policy's.
    yield train("warmup", epochs * math.ceil(written / params.warmup.batch_size), epochs * written, 4)
    grpo = params.grpo
    rollouts = grpo.steps * grpo.problems_per_step * grpo.group_size
    forwards = 4 + (grpo.kl > 0) + (grpo.mini_batches > 1)
    for name in grpo.runs:
        yield decode(f"grpo {name}: roll-outs", rollouts)
        yield train(f"grpo {name}: updates", grpo.steps * grpo.mini_batches, rollouts, forwards)
    answers = sum(_answers(params, name) for name in params.ingest.benchmarks)
    yield decode("evaluate: teacher", answers, True)
    others = [name for name in params.evaluate.methods if name not in ("teacher", "random-query")]  # drawn, not decoded
    yield decode(f"evaluate: {len(others)} other methods", answers * len(others))


def _answers(params: Params, benchmark: str) -> int:
    problems = min(params.ingest.benchmark_problems,
                   BENCHMARK_PROBLEMS.get(benchmark, params.ingest.benchmark_problems))
    return problems * (32 if benchmark.startswith("aime") else 1)


def decode_speed(shape: Shape, gpu: Gpu, rows: int, answer: int) -> float:
    """Tokens per second when every step reads the weights and half-full caches at a share of the bandwidth."""
    fit = max(1, int((gpu.memory * GIB * 0.9 - 2 * shape.parameters)
                     / (shape.cache_bytes("bfloat16") * (PROMPT_TOKENS + answer))))
    rows = min(rows, fit)
    read = 2 * shape.parameters + rows * shape.cache_bytes("bfloat16") * (PROMPT_TOKENS + answer / 2)
    return rows * gpu.bandwidth * DECODE_SHARE / read


def _work(works: list[Work]) -> Iterator[str]:
    width = max(len(work.stage) for work in works)
    yield f"  {'stage':{width}}  {'steps or answers':>16}  {'tokens':>9}  {'GPU hours':>10}"
    for work in works:
        mark = "" if work.hours is None or work.measured else "~"
        hours = "-" if work.hours is None else f"{mark}{work.hours:,.1f}"
        yield f"  {work.stage:{width}}  {work.steps:>16,}  {_short(work.tokens):>9}  {hours:>10}"
    total = sum(work.hours or 0 for work in works)
    if total:
        mark = "" if all(work.measured for work in works) else "~"
        yield f"  {'all':{width}}  {'':>16}  {_short(sum(w.tokens for w in works)):>9}  {f'{mark}{total:,.1f}':>10}"


def _short(count: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f}"
