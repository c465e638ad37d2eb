"""What training and decoding hold in memory, by formula; a run that cannot fit is refused before it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relayllm.config import Decoding, GrpoConfig, LoraConfig
from relayllm.engines.checkpoints.model_shapes import (
    BYTES,
    Shape,
    activation_bytes,
    folder_shape,
    lora_bytes,
    zero_bytes,
)
from relayllm.errors import ConfigError
from relayllm.settings import current_settings

GIB = 2**30
PROMPT_TOKENS = 150
CGROUP = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class Device:
    """The device that a stage trains on: its name and its memory."""

    name: str
    memory: float
    """GiB."""


def training_memory(student: Shape, grpo: GrpoConfig, stage: int, lora: LoraConfig | None = None) -> dict[str, float]:
    """GiB per process of GRPO's updates, by what holds them; with LoRA the reference is the policy without adapter."""
    rows, tokens = grpo.micro_batch_size, PROMPT_TOKENS + grpo.decoding.max_new_tokens
    policy = (lora_bytes(student, lora, grpo.dtype) if lora else
              zero_bytes(student.parameters, stage, grpo.processes, grpo.dtype))
    reference = 0 if lora else student.parameters * BYTES[grpo.dtype] * (grpo.kl > 0)
    return {"policy": policy / GIB, "reference": reference / GIB,
            f"activations of {rows} full rows": activation_bytes(student, rows, tokens, grpo.dtype) / GIB}


def decoding_memory(student: Shape | None, teacher: Shape | None, decoding: Decoding, dtype: str) -> dict[str, float]:
    """GiB of weights and of full caches while the relay decodes, when both models share a device."""
    held = {}
    for role, shape in (("student", student), ("teacher", teacher)):
        if shape is not None:
            held[role] = shape.parameters * BYTES[dtype] / GIB
            held[f"{role}'s cache, a row"] = (
                (PROMPT_TOKENS + decoding.max_new_tokens) * shape.cache_bytes(dtype) / GIB)
    return held


def grpo_memory(student: Shape, teacher: Shape | None, grpo: GrpoConfig) -> dict[str, float]:
    """GiB per device of all that GRPO holds: it trains and decodes with one copy of the student."""
    held = decoding_memory(student, teacher, grpo.decoding, grpo.dtype)
    stage = 2 if grpo.deepspeed else 0
    rows = min(grpo.decoding.slots, grpo.problems_per_step * grpo.group_size // grpo.processes)
    row = sum(size for name, size in held.items() if name.endswith("a row"))
    return {**training_memory(student, grpo, stage, grpo.lora), "teacher": held.get("teacher", 0.0),
            f"caches of {rows} full rows": rows * row}


def this_device(processes: int) -> Device:
    """The accelerator a process trains on, or its share of the memory that this machine, or its container, has."""
    import torch

    if torch.cuda.is_available():
        return Device(torch.cuda.get_device_name(), torch.cuda.get_device_properties(0).total_memory / GIB)
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = CGROUP.read_text().strip() if CGROUP.is_file() else "max"
    return Device("this machine", min(whole, int(limit) if limit.isdigit() else whole) / processes / GIB)


def check_grpo(config: GrpoConfig, student: Path, teacher: Path | None, device: Device) -> None:
    """Refuse a run that would not fit, by the formulas of `relay plan`.

    Raises:
        ConfigError: it needs more memory than the device has.
    """
    source = current_settings().teacher_at(teacher) if teacher else None
    held = grpo_memory(folder_shape(student), folder_shape(source) if isinstance(source, Path) else None, config)
    refuse_beyond(held, device, "grpo", "grpo.decoding.slots or micro_batch_size, train an adapter (grpo.lora), or "
                  "let a server hold the teacher (RELAY_TEACHER_URL)")


def check_warmup(student: Path, lora: LoraConfig | None, stage: int, processes: int, dtype: str,
                 device: Device) -> None:
    """Refuse a warm-up whose weights, gradients and optimizer would not fit.

    Raises:
        ConfigError: they need more memory than the device has.
    """
    shape = folder_shape(student)
    policy = lora_bytes(shape, lora, dtype) if lora else zero_bytes(shape.parameters, stage, processes, dtype)
    refuse_beyond({"policy": policy / GIB}, device, "warmup", "warmup.dtype, or train an adapter (warmup.lora)")


def refuse_beyond(held: Mapping[str, float], device: Device, stage: str, remedy: str) -> None:
    """Compare what is needed with what is there."""
    if sum(held.values()) > device.memory:
        parts = ", ".join(f"{name} {size:.2f}" for name, size in held.items() if size)
        raise ConfigError(f"{stage} needs {sum(held.values()):.1f} GiB by the formulas of `relay plan` ({parts}), "
                          f"{device.name} has {device.memory:.1f} for a process: lower {remedy}")
