"""What is measured: one command a part, the most telling first, each with the seconds it may take."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Setup:
    """What everything is measured with: models, device, type of numbers, and how much work."""

    pair: str
    """`gpu`, `cpu` or `small`: the shapes of benchmarks/models.py."""
    device: str
    dtype: str
    quick: bool = False


class NotHere(Exception):
    """The part needs something that this machine does not have; says what."""


@dataclass(frozen=True)
class BenchPart:
    """One thing to measure, in a process of its own."""

    name: str
    what: str
    seconds: int
    """It may take so long on a GPU."""
    command: Callable[[Setup, Path], Sequence[str]]
    """The words that write the result into a file."""
    read: Callable[[Path], Any] = field(default=lambda path: json.loads(path.read_text()))
    environment: Mapping[str, str] = field(default_factory=dict)
    needed: bool = False
    """Without it no other part is tried."""


def parts_of(setup: Setup) -> list[BenchPart]:
    """Every part, in the order in which they are measured."""
    return [
        BenchPart("machine", "what it is", 60, lambda setup, out: [
            sys.executable, "-m", "benchmarks.gpu.machine", setup.device, str(out)], needed=True),
        BenchPart("tests", "tests/gpu: the decoder's tokens on the device", 240, _tests, _outcomes),
        BenchPart("decode_steps", "a decode step against the memory's bandwidth, graphs off and on", 240,
                  _decode("decode_steps")),
        BenchPart("memory", "peak memory", 150, _decode("memory")),
        BenchPart("rows", "tokens/s of the student by rows", 150, _decode("rows")),
        BenchPart("rows_graphs", "the same with graphs", 150, _decode("rows"),
                  environment={"RELAY_CUDA_GRAPHS": "1"}),
        BenchPart("vllm", "the same in vLLM", 240, _vllm),
        BenchPart("many_rows", "32 rows: beside generate and the released algorithm", 240, _decode("many_rows")),
        BenchPart("one_row", "one row: beside generate", 120, _decode("one_row")),
        BenchPart("hand_over", "what a call costs, early and late", 90, _decode("hand_over")),
        BenchPart("roll_outs", "roll-outs: beside TRL", 150, _decode("roll_outs")),
    ]


def _decode(group: str) -> Callable[[Setup, Path], Sequence[str]]:
    return lambda setup, out: [
        sys.executable, "-m", "benchmarks", "--pair", setup.pair, "--device", setup.device, "--dtype", setup.dtype,
        "--only", group, "--json", str(out), *(["--quick"] * setup.quick)]


def _tests(setup: Setup, out: Path) -> Sequence[str]:
    if setup.device != "cuda":
        raise NotHere("tests/gpu compare CPU and GPU; there is no GPU in this set-up")
    return [sys.executable, "-m", "pytest", "tests/gpu", "-m", "gpu and not slow", "-p", "no:cacheprovider",
            f"--junitxml={out}"]


def _outcomes(path: Path) -> dict[str, Any]:
    """How many tests passed, failed and were skipped, and what the failed ones said."""
    suite = next(ElementTree.parse(path).iter("testsuite"))
    counts = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
    failed = {case.get("name", ""): (bad.get("message") or "")[:500] for case in suite.iter("testcase")
              for bad in [*case.findall("failure"), *case.findall("error")]}
    return {**counts, "failed": failed}


def _vllm(setup: Setup, out: Path) -> Sequence[str]:
    python = os.environ.get("RELAY_VLLM_PYTHON") or sys.executable
    if python == sys.executable and importlib.util.find_spec("vllm") is None:
        raise NotHere("vLLM is not installed, and RELAY_VLLM_PYTHON names no Python that has it")
    return [python, "-m", "benchmarks.gpu.vllm_speed", setup.pair, setup.device, setup.dtype, str(out),
            *(["--quick"] * setup.quick)]


NAMES = [part.name for part in parts_of(Setup("", "", ""))]
