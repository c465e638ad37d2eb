"""`relay plan`: what a profile would download, hold in memory, decode and cost, before a GPU is rented.

With `--requests-per-day` it prices a month of traffic, too (`plan_traffic`).

Counts follow from the profile (`plan_work`). Hours follow from the counts and a speed, which is either measured and
given, or assumed; the table says which. Nothing is loaded or downloaded.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

from relayllm.commands.plan_rollouts import rollout_engines, rollout_table
from relayllm.commands.plan_traffic import ONE_TEACHER, measured, prices_of, traffic_of, traffic_report
from relayllm.commands.plan_work import DECODE_SHARE, TRAIN_SHARE, Gpu, Speeds, WorkPlan, step_speed, work_table
from relayllm.config import GrpoConfig, HubModel, LocalModel, LoraConfig, Params, load_params
from relayllm.engines.checkpoints.model_shapes import Shape, shape_of
from relayllm.engines.openai.pool_config import is_pool, read_pool
from relayllm.errors import ConfigError
from relayllm.settings import current_settings
from relayllm.training.memory import PROMPT_TOKENS, decoding_memory, grpo_memory, training_memory

COMMON_LORA = LoraConfig(rank=16, alpha=32, dropout=0.0, target_modules="all-linear", command_rows=True)
"""What the plan compares with when the profile trains every weight."""
ANSWER_TOKENS = 1000
GPUS = {
    "a10": Gpu(24, 6.0e11, 1.25e14),
    "a100": Gpu(80, 2.0e12, 3.12e14),
    "h100": Gpu(80, 3.35e12, 9.89e14),
    "h200": Gpu(141, 4.8e12, 9.89e14),
    "l4": Gpu(24, 3.0e11, 1.21e14),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `relay plan`."""
    parser.add_argument("--profile", help="a file in params/, without .yaml; default: params.yaml")
    parser.add_argument("--gpu", choices=sorted(GPUS), default="h100", help="default: h100")
    parser.add_argument("--answer-tokens", type=int,
                        help=f"assumed mean length of an answer; default: {ANSWER_TOKENS}, of traffic the measured one")
    for name in ("student", "teacher", "update"):
        parser.add_argument(f"--{name}-tokens-per-second", type=float, dest=f"{name}_speed",
                            help="measured on one such GPU; without it hours are estimated from its data sheet")
    traffic = parser.add_argument_group("a month of traffic, at RELAY_PRICES or the profile's prices")
    traffic.add_argument("--requests-per-day", type=int, help="price a month of so many")
    traffic.add_argument("--prompt-tokens", type=int, default=PROMPT_TOKENS, help=f"default: {PROMPT_TOKENS}")
    traffic.add_argument("--call-ratio", type=float, help="share of the teacher's tokens; default: the report's")
    traffic.add_argument("--calls", type=float, help="mean number of calls of an answer; default: the report's")
    traffic.add_argument("--teacher", metavar="FILE",
                         help="the .yaml file of a pool of teachers, whose prices count; default: RELAY_TEACHERS")


def main(arguments: argparse.Namespace) -> int:
    """Print downloads, memory per GPU, GPU hours and, where traffic is given, what it costs."""
    if arguments.answer_tokens is not None and arguments.answer_tokens < 1:
        raise ConfigError(f"--answer-tokens is {arguments.answer_tokens}: give 1 or more")
    for option in ("student", "teacher", "update"):
        speed = getattr(arguments, f"{option}_speed")
        if speed is not None and not 0 < speed < math.inf:
            raise ConfigError(f"--{option}-tokens-per-second is {speed:g}: give a number above 0")
    given = (arguments.call_ratio, arguments.calls, arguments.teacher)
    if arguments.requests_per_day is None and given != (None, None, None):
        raise ConfigError("--call-ratio, --calls and --teacher are of traffic: give --requests-per-day, too")
    name = arguments.profile
    path = current_settings().root / f"params/{name}.yaml" if name else current_settings().params
    speeds = Speeds(arguments.student_speed, arguments.teacher_speed, arguments.update_speed)
    params = load_params(path)
    month = [] if arguments.requests_per_day is None else ["", *_traffic(params, arguments)]
    print("\n".join([*report(params, arguments.gpu, arguments.answer_tokens or ANSWER_TOKENS, speeds), *month]))
    return 0


def _traffic(params: Params, arguments: argparse.Namespace) -> Iterator[str]:
    asked = (arguments.call_ratio, arguments.calls)
    known = measured(current_settings().root, params) if asked == (None, None) else None
    traffic = traffic_of(arguments.requests_per_day, arguments.prompt_tokens, arguments.answer_tokens, asked, known,
                         ANSWER_TOKENS)
    teachers = arguments.teacher or current_settings().teachers
    pool = read_pool(teachers) if teachers and is_pool(teachers) else ONE_TEACHER
    return traffic_report(traffic, *prices_of(params, pool), pool)


def report(params: Params, gpu: str, answer_tokens: int, speeds: Speeds) -> Iterator[str]:
    """The plan as lines of text."""
    yield f"Profile {params.profile}: {', '.join(params.grpo.runs)}; {params.grpo.processes} process(es)"
    yield from ["", "Downloads", *_downloads(params)]
    yield from ["", f"Memory per GPU in GiB, by formula ({gpu}: {GPUS[gpu].memory:g})", *_memory(params, gpu)]
    answer = min(answer_tokens, params.grpo.decoding.max_new_tokens)
    works = list(WorkPlan(params, GPUS[gpu], *shapes(params), answer, speeds).stages())
    yield from ["", f"Work, with answers of {answer:,} tokens (an assumption: --answer-tokens)", *work_table(works)]
    yield from ["", "Roll-outs of one run, by where the student is decoded", *_rollouts(params, gpu, answer)]
    if any(work.hours is not None and not work.measured for work in works):
        yield from ["", f"~ is an estimate from the data sheet of one {gpu}: decoding at {DECODE_SHARE:.0%} of its "
                        f"memory bandwidth, training at", f"  {TRAIN_SHARE:.0%} of its arithmetic. Nobody measured it: "
                        "measure a step, then give --student-tokens-per-second and so on."]


def _rollouts(params: Params, name: str, answer: int) -> Iterator[str]:
    student, teacher = shapes(params)
    grpo, gpu = params.grpo, GPUS[name]
    tokens = grpo.steps * grpo.problems_per_step * grpo.group_size * answer
    found = list(rollout_engines(params, gpu.memory, answer, student, teacher))
    pretrained = params.base_models.student.kind != "tiny"
    return rollout_table(found, tokens, (lambda rows: step_speed(student, gpu, rows, answer)) if pretrained else None)


def _downloads(params: Params) -> Iterator[str]:
    models, loads = params.base_models, params.ingest.source == "huggingface"
    for role, model in (("student", models.student), ("teacher", models.teacher), *models.other_teachers.items()):
        if isinstance(model, HubModel):
            yield f"  {role}  {model.id} @ {model.revision}  {shape_of(model).published * 2 / 1e9:.1f} GB in bfloat16"
        elif isinstance(model, LocalModel):
            yield f"  {role}  nothing: {model.path} is on this machine"
        else:
            yield f"  {role}  nothing: it is trained from scratch"
    if loads:
        yield f"  training problems  {params.ingest.train}, up to {params.ingest.train_problems:,}"
        yield f"  benchmarks  {', '.join(params.ingest.benchmarks)}"


def _memory(params: Params, name: str) -> Iterator[str]:
    student, teacher = shapes(params)
    grpo, gpu = params.grpo, GPUS[name]
    for stage in range(4):
        chosen = "  <- warm-up" * (stage == params.warmup.zero_stage and not params.warmup.lora)
        chosen += "  <- GRPO" * (stage == (2 if grpo.deepspeed else 0) and not grpo.lora)
        yield _line(f"ZeRO-{stage}", training_memory(student, grpo, stage), chosen)
    chosen = "  <- warm-up" * bool(params.warmup.lora) + "  <- GRPO" * bool(grpo.lora)
    lora = grpo.lora or params.warmup.lora or COMMON_LORA
    yield _line("LoRA", training_memory(student, grpo, 0, lora), f", rank {lora.rank}){chosen}")
    yield from _relay_memory(params, gpu, student, teacher)
    yield _all_of_grpo("GRPO, both models on each GPU", grpo_memory(student, teacher, grpo), name)
    if not grpo.lora:
        small = _on_one_gpu(grpo, lora)
        yield _all_of_grpo(f"the same with LoRA of rank {lora.rank} on one GPU, rows one by one",
                           grpo_memory(student, teacher, small), name)


def shapes(params: Params) -> tuple[Shape, Shape]:
    """The shapes of student and teacher."""
    root = current_settings().root
    return shape_of(params.base_models.student, root), shape_of(params.base_models.teacher, root)


def _on_one_gpu(grpo: GrpoConfig, lora: LoraConfig) -> GrpoConfig:
    return grpo.model_copy(update={"lora": lora, "deepspeed": False, "processes": 1, "micro_batch_size": 1})


def _line(name: str, held: dict[str, float], after: str) -> str:
    names = ", ".join(f"{part} {size:.2f}" for part, size in held.items())
    closed = after if after.startswith(",") else f"){after}"
    return f"  {name:6}  {sum(held.values()):8.2f}  ({names}{closed}"


def _all_of_grpo(name: str, held: dict[str, float], gpu: str) -> str:
    total, memory = sum(held.values()), GPUS[gpu].memory
    verdict = "fits" if total <= memory else "does not fit"
    names = ", ".join(f"{part} {size:.2f}" for part, size in held.items() if size)
    return f"  {name}: {total:.1f} GiB, {verdict} one {gpu} ({memory:g})\n    ({names})"


def _relay_memory(params: Params, gpu: Gpu, student: Shape, teacher: Shape) -> Iterator[str]:
    held = decoding_memory(student, teacher, params.grpo.decoding, params.base_models.dtype)
    rows = params.grpo.decoding.slots
    weights = held["student"] + held["teacher"]
    row = held["student's cache, a row"] + held["teacher's cache, a row"]
    yield f"  relay   {weights + rows * row:8.2f}  (student {held['student']:.2f}, teacher {held['teacher']:.2f}, " \
          f"{rows} rows of {row:.3f} at full length)"
    if weights + rows * row > gpu.memory:
        room = max(0, int((gpu.memory * 0.9 - weights) / row))
        yield f"  {rows} full rows do not fit: {room} do beside the weights; lower `slots`, or let a server hold the " \
              "teacher (RELAY_TEACHER_URL)"
