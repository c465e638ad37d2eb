"""Run the parts one after the other: what fails or takes too long is noted, and the rest goes on."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.parts import BenchPart, NotHere, Setup
from benchmarks.gpu.results import Results
from relayllm.processes import end_group, end_with_parent

SAID = 1500
"""Characters that are kept of what a failed part said last."""


def run_parts(parts: Sequence[BenchPart], setup: Setup, results: Results, seconds: float) -> None:
    """Measure what the results do not hold; what failed before is tried again."""
    end = time.monotonic() + seconds
    for part in parts:
        if results.status(part.name) == "done":
            print(f"{part.name}: kept", flush=True)
            continue
        left = end - time.monotonic()
        if left <= 0:
            results.keep(part.name, "late", error="no time was left to begin it: run the same command again")
        else:
            print(f"{part.name}: {part.what} ...", flush=True)
            _run(part, setup, results, min(float(part.seconds), left))
        kept = results.parts[part.name]
        print(f"{part.name}: {kept['status']} after {kept['seconds']} s", flush=True)
        if part.needed and kept["status"] != "done":
            return


def _run(part: BenchPart, setup: Setup, results: Results, limit: float) -> None:
    started = time.monotonic()

    def keep(status: str, **more: object) -> None:
        results.keep(part.name, status, time.monotonic() - started, **more)

    with tempfile.TemporaryDirectory(prefix="relay-gpu-") as folder:
        out, log = Path(folder) / "result", Path(folder) / "log"
        try:
            code = _process(part.command(setup, out), part, log, limit)
        except NotHere as error:
            return keep("not here", error=str(error))
        said = log.read_text(errors="replace")[-SAID:]
        partial = _result(part, out)  # measures are written one by one: those before a failure count
        if code is None:
            return keep("late", result=partial, error=f"ended after {limit:.0f} s\n{said}")
        if code or partial is None:
            return keep("failed", result=partial, error=f"exit code {code}\n{said}")
        keep("done", result=partial)


def _process(words: Sequence[str], part: BenchPart, log: Path, limit: float) -> int | None:
    """The exit code; None: its time was over. Its children end with it."""
    with log.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file, env={**os.environ, **part.environment},
                                   start_new_session=True, preexec_fn=end_with_parent)
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            end_group(process)


def _result(part: BenchPart, out: Path) -> object:
    try:
        return part.read(out)
    except (OSError, ValueError, SyntaxError, StopIteration):
        return None
