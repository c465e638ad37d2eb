"""What later stages need of models and machine: told once the models are there, and not hours later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from relayllm.config import Decoding, Params
from relayllm.engines.checkpoints.model_shapes import Shape, folder_shape
from relayllm.problems.problem import read_problems
from relayllm.settings import current_settings
from relayllm.training.context import check_context
from relayllm.training.memory import (
    Device,
    check_grpo,
    check_warmup,
    decoding_memory,
    refuse_beyond,
    this_device,
)


def check_later_stages(params: Params, data: Path, student: Path, teacher: Path) -> list[str]:
    """Refuse models that a later stage could not hold or whose context it would overrun; returns warnings.

    `data` has the benchmarks, `student` and `teacher` the base models. Each training checks itself once more, on the
    machine where it runs.

    Raises:
        ConfigError: the stage, what it needs and what is there.
    """
    warmup, grpo = params.warmup, params.grpo
    check_warmup(student, warmup.lora, warmup.zero_stage, warmup.processes, warmup.dtype, this_device(warmup.processes))
    calls = any(run.max_calls for run in grpo.runs.values())
    check_grpo(grpo, student, teacher if calls else None, this_device(grpo.processes))
    asked = [problem for path in sorted((data / "benchmarks").glob("*.jsonl")) for problem in read_problems(path)]
    if asked:
        check_context(asked, student, teacher, params.evaluate.decoding.max_new_tokens, "evaluate")
    return list(check_decoding(params, student, teacher, this_device(1)))


def check_decoding(params: Params, student: Path, teacher: Path, device: Device) -> Iterator[str]:
    """A warning for every stage whose rows, all at their full length, would not fit beside the weights.

    Raises:
        ConfigError: the weights alone do not fit.
    """
    settings, dtype = current_settings(), params.base_models.dtype
    small = None if settings.student_urls else folder_shape(student)
    large = None if settings.remote_teacher else folder_shape(teacher)
    stages: tuple[tuple[str, Decoding, Shape | None, Shape | None], ...] = (
        ("filter", params.filter.decoding, None, large if params.filter.enabled else None),
        ("warmup_set", params.warmup_set.decoding, small, None),
        ("evaluate", params.evaluate.decoding, small, large))
    for stage, decoding, writer, helper in stages:
        held = decoding_memory(writer, helper, decoding, dtype)
        weights = {name: size for name, size in held.items() if name in ("student", "teacher")}
        refuse_beyond(weights, device, stage, "base_models.dtype, or let a server hold a model (RELAY_TEACHER_URL, "
                      "RELAY_STUDENT_URLS)")
        whole = sum(weights.values()) + decoding.slots * (sum(held.values()) - sum(weights.values()))
        if whole > device.memory:
            yield (f"{stage}: {decoding.slots} rows at full length hold {whole:.1f} GiB with the weights, and "
                   f"{device.name} has {device.memory:.1f}: if it runs out of memory, lower {stage}.decoding.slots")
