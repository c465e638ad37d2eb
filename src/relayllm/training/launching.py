"""How a stage's processes are started, and what they know of each other."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relayllm.errors import ConfigError
from relayllm.processes import PARENT, free_port
from relayllm.settings import QUIET, current_settings

CPU_THREADS = "OMP_NUM_THREADS"
HOSTFILE = "RELAY_HOSTFILE"
"""Names the machines of a training over several."""
HOSTS = "write a line `HOST slots=PROCESSES` for each machine"
OURS = ("RELAY_", "MLFLOW_", "HF_", "OMP_", "NCCL_", *QUIET)
"""Beginnings of the variables that all machines of a training must have."""


def deepspeed_command(processes: int) -> list[str]:
    """The `deepspeed` launcher up to the script that it starts: on this machine, or on those that a hostfile names.

    Raises:
        ConfigError: the hostfile cannot be used, or has not as many slots as there are processes.
    """
    hosts = os.environ.get(HOSTFILE)
    return over_hosts(Path(hosts), processes) if hosts else on_this_machine(processes)


def on_this_machine(processes: int) -> list[str]:
    """The launcher for processes that share this machine's cores."""
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    share = [] if CPU_THREADS in os.environ else ["env", f"{CPU_THREADS}={threads}"]
    return [*share, _deepspeed(), "--num_accelerators", str(processes), "--master_port", str(free_port())]


def over_hosts(path: Path, processes: int) -> list[str]:
    """The launcher for the slots of a hostfile, by ssh; what our settings are here, they are there.

    Raises:
        ConfigError: see `deepspeed_command`.
    """
    slots = sum(hosts_of(path).values())
    if slots != processes:
        raise ConfigError(f"{path} has {slots} slots, params.yaml has {processes} processes: make them the same")
    handed_on = current_settings().runs / "deepspeed.env"
    handed_on.parent.mkdir(parents=True, exist_ok=True)
    handed_on.touch(mode=0o600)  # it may hold keys
    handed_on.write_text("".join(f"{name}={value}\n" for name, value in _handed_on(os.environ).items()))
    return ["env", f"DS_ENV_FILE={handed_on}", _deepspeed(), "--hostfile", str(path.resolve())]


def hosts_of(path: Path) -> dict[str, int]:
    """Host -> processes, from lines like `node-1 slots=8`.

    Raises:
        ConfigError: there is no such file, or a line is another.
    """
    if not path.is_file():
        raise ConfigError(f"{HOSTFILE} is {path}, and there is no such file: {HOSTS}")
    found: dict[str, int] = {}
    for line in filter(None, (line.partition("#")[0].strip() for line in path.read_text().splitlines())):
        match = re.fullmatch(r"(\S+)\s+slots=(\d+)", line)
        if match is None or match[1] in found:
            raise ConfigError(f"{path} has the line '{line}'{' twice' if match else ''}: {HOSTS}")
        found[match[1]] = int(match[2])
    return found


def _handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """What processes on other machines must know: DeepSpeed itself hands on little more than PYTHONPATH.

    Raises:
        ConfigError: a shell there would read a value otherwise.
    """
    found = {name: value for name, value in sorted(environment.items())
             if name.startswith(OURS) and name not in (HOSTFILE, PARENT)}
    odd = next((name for name, value in found.items() if set(value) & set("$`\"\\\n")), None)
    if odd is not None:
        raise ConfigError(f"{odd} has a character that shells of other machines would read otherwise ($, `, \", \\): "
                          "change it, or set it on those machines and not here")
    return found


def _deepspeed() -> str:
    return str(Path(sys.executable).parent / "deepspeed")


def deepspeed_config(zero_stage: int) -> str:
    """Path of DeepSpeed's config for a ZeRO stage.

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
    return {"use_cpu": not cuda, "bf16": half, "activation_checkpointing": cuda and half, "dataloader_pin_memory": cuda}


def is_main_process() -> bool:
    """Whether this process is rank 0, or the only one."""
    return os.environ.get("RANK", "0") == "0"
