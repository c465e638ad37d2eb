"""`relay plan`, where GRPO's roll-outs are decoded: in the trainer's process, or by vLLM beside it or apart from it.

The three differ in what a GPU must hold and so in the rows that it decodes at once. Our own engine keeps a row's cache
at its full length; vLLM's pages hold what is written. Every step is assumed to take the same share of the bandwidth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import floor

from relayllm.commands.plan_work import hours_text
from relayllm.config import Params
from relayllm.engines.checkpoints.model_shapes import Shape
from relayllm.training.memory import GIB, PROMPT_TOKENS, grpo_memory, training_memory

USABLE = 0.9
"""Share of a GPU's memory that vLLM takes by default."""


@dataclass(frozen=True, slots=True)
class RolloutEngine:
    """One way of decoding the roll-outs of a run."""

    name: str
    gpus: int
    rows: int
    """Decoded at once; 0: there is no room."""
    held: float
    """GiB on the fullest GPU, the updates of the weights included where they share it."""
    share: float = 0.0
    """Of a GPU's memory, what vLLM may take (its `--gpu-memory-utilization`); 0 where there is no vLLM."""


def rollout_engines(params: Params, memory: float, answer: int, student: Shape,
                    teacher: Shape) -> Iterator[RolloutEngine]:
    """Each way, on GPUs of `memory` GiB, with answers of a mean of `answer` tokens."""
    grpo = params.grpo
    batch = grpo.problems_per_step * grpo.group_size
    updates = sum(training_memory(student, grpo, 2 if grpo.deepspeed else 0, grpo.lora).values())
    here = sum(grpo_memory(student, teacher, grpo).values())
    yield RolloutEngine("in the trainer's process, with the teacher", grpo.processes,
                        min(grpo.decoding.slots, batch // grpo.processes) if here <= memory else 0, here)
    weights = 2 * student.parameters / GIB
    row = student.cache_bytes("bfloat16") * (PROMPT_TOKENS + answer) / GIB
    for name, gpus, beside in (("vLLM on the trainer's GPU", grpo.processes, updates),
                               ("vLLM on a GPU of its own", grpo.processes + 1, 0.0)):
        room = memory * USABLE - beside - weights
        rows = min(batch, max(0, int(room / row)))
        yield RolloutEngine(name, gpus, rows, max(updates, beside + weights + rows * row), USABLE - beside / memory)


def rollout_table(found: list[RolloutEngine], tokens: float, speed: Callable[[int], float] | None) -> Iterator[str]:
    """The table; `speed` gives tokens per second of one GPU by its rows at once, None where it cannot be told."""
    yield f"  {'engine':42}  {'GPUs':>4}  {'rows at once':>12}  {'GiB':>6}  {'GPU hours':>9}"
    for one in found:
        known = None if speed is None or not one.rows else tokens / speed(one.rows) / 3600
        hours = hours_text(known, measured=False)
        rows = one.rows or "none fit"
        yield f"  {one.name:42}  {one.gpus:>4}  {rows:>12}  {one.held:>6.1f}  {hours:>9}"
    yield "  Waits for the teacher are not counted. With vLLM the teacher is behind RELAY_TEACHER_URL,"
    yield "  and the student on servers that RELAY_ROLLOUT_URLS names, one on every GPU."
    shared = next(one for one in found if one.share)
    if shared.rows:
        yield "  On the trainer's GPU start vLLM before the training, with --gpu-memory-utilization " \
              f"{floor(100 * shared.share) / 100:.2f}."
