"""How a stage's processes are started, and what they know of each other."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from relayllm.errors import ConfigError
from relayllm.settings import current_settings

CPU_THREADS = "OMP_NUM_THREADS"


def deepspeed_command(processes: int) -> list[str]:
    """The `deepspeed` launcher for this machine, up to the script that it starts; processes share its cores."""
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    share = [] if CPU_THREADS in os.environ else ["env", f"{CPU_THREADS}={threads}"]
    return [*share, str(Path(sys.executable).parent / "deepspeed"), "--num_accelerators", str(processes),
            "--master_port", str(free_port())]


def deepspeed_config(zero_stage: int) -> str:
    """The file of one ZeRO stage.

    Raises:
        ConfigError: there is none.
    """
    path = current_settings().root / "infra" / "deepspeed" / f"zero{zero_stage}.json"
    if not path.is_file():
        raise ConfigError(f"no DeepSpeed config {path}: zero_stage is {zero_stage}, infra/deepspeed has 2 and 3")
    return str(path)


def device_arguments(dtype: str) -> dict[str, Any]:
    """Arguments of transformers' trainers that follow from the machine.

    Activations are computed twice where memory is short, on an accelerator: on a CPU that costs 40 % of a step.
    """
    import torch

    cuda, half = torch.cuda.is_available(), dtype == "bfloat16"
    return {"use_cpu": not cuda, "bf16": half, "gradient_checkpointing": cuda and half, "dataloader_pin_memory": cuda}


def free_port() -> int:
    """A port that nobody listens on now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_main_process() -> bool:
    """Rank 0, or alone."""
    return os.environ.get("RANK", "0") == "0"
