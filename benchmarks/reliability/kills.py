"""`kill -9` at random moments of the smoke pipeline, started again each time: the same outputs and the same summary."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.reliability.places import hashes, summary
from tests.support.places import environment, make_place
from tests.support.places import run as run_in

QUICKEST, SLOWEST = 1.0, 25.0
"""Seconds until a kill: from the start of Python to the middle of the longest stage."""


def run(count: int, folder: Path) -> dict[str, Any]:
    """Kill `count` times; compare each pipeline that comes to its end with one that nobody killed, and begin anew."""
    chance, whole = random.Random(0), prepared(folder / "whole")
    run_in(whole, "dvc", "repro")
    wanted = hashes(whole), summary(whole)
    kills, ends, wrong, broken = 0, 0, 0, []
    place = prepared(folder / "killed-0")
    while kills < count:
        status, printed = _killed(place, chance.uniform(QUICKEST, SLOWEST))
        if status is None:
            kills += 1
        elif status:
            broken.append(printed[-500:])
            break
        if status == 0 or kills == count:
            if status != 0:
                run_in(place, "dvc", "repro")
            ends += 1
            wrong += (hashes(place), summary(place)) != wanted
            shutil.rmtree(place)
            place = prepared(folder / f"killed-{ends}")
    return {"kills": kills, "pipelines": ends, "different": wrong, "broken": broken, "faults": wrong + len(broken)}


def prepared(place: Path) -> Path:
    """A copy of the project with the smoke profile and its data, before the first stage."""
    place.mkdir(parents=True)
    make_place(place)
    run_in(place, "relay", "ingest", "--data", "data")
    run_in(place, "dvc", "add", "--quiet", "data")
    return place


def _killed(place: Path, seconds: float) -> tuple[int | None, str]:
    """Run the pipeline for so long; its exit code when it ended by itself, None when it was killed with all its own."""
    with subprocess.Popen(["dvc", "repro"], cwd=place, env=environment(place), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
        started = time.monotonic()
        try:
            printed, _ = process.communicate(timeout=seconds)
            return process.returncode, printed
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            assert time.monotonic() - started >= seconds
            return None, ""


