"""Time things side by side, so that a busy machine disturbs all of them alike."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True)
class Took:
    """The time of one run."""

    wall: float
    cpu: float
    """Seconds of processor time of this process, all threads: what a busy machine does not add to."""
    result: Any = None


def clock(run: Callable[[], Any]) -> Took:
    """Run a piece of work once; returns its time."""
    gc.collect()
    _finish()
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    _finish()
    return Took(time.perf_counter() - wall, time.process_time() - cpu, result)


def side_by_side(runs: Mapping[str, Callable[[], Any]], repeats: int, *, warm: bool = True) -> dict[str, list[Took]]:
    """Run all of them in turn, `repeats` times; every other round goes the other way."""
    took: dict[str, list[Took]] = {name: [] for name in runs}
    for name in runs if warm else ():
        runs[name]()
    for turn in range(repeats):
        for name in list(runs)[::-1 if turn % 2 else 1]:
            took[name].append(clock(runs[name]))
    return took


def ratio(slow: Sequence[Took], fast: Sequence[Took], *, cpu: bool = False) -> float:
    """How many times as long the first takes: the median over rounds."""
    pairs = zip(slow, fast, strict=True)
    return statistics.median(a.cpu / b.cpu if cpu else a.wall / b.wall for a, b in pairs)


def median(runs: Sequence[Took], *, cpu: bool = False) -> float:
    """Median of the runs' seconds."""
    return statistics.median(run.cpu if cpu else run.wall for run in runs)


def machine() -> dict[str, Any]:
    """What it was measured on, and what else the machine was doing."""
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {"processor": _processor(), "native_bfloat16": multiplies_bfloat16(),
            "cores": os.cpu_count(), "threads": torch.get_num_threads(), **gpu,
            "load_average": [round(value, 2) for value in os.getloadavg()], "python": platform.python_version(),
            "torch": torch.__version__}


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it (AVX512-BF16 or AMX); without, it is emulated and slow."""
    flags = {flag for line in _cpuinfo() if line.startswith("flags") for flag in line.split()}
    return bool(flags & {"avx512_bf16", "amx_bf16"})


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _processor() -> str:
    lines = _cpuinfo()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    matrix = any(line.startswith("flags") and "amx_bf16" in line for line in lines)
    return (names[0] if names else platform.processor()) + (", AMX" if matrix else "")


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
