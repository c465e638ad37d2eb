"""`kill -9` at random moments of the smoke pipeline, started again each time: the same outputs and the same summary."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from benchmarks.reliability.places import hashes, summary
from tests.support.places import environment, make_place
from tests.support.places import run as run_in

LATEST = 0.4
"""Of the work of a whole run: a kill comes at most so much work after a start. Longer than the longest stage."""
PATIENCE = 7200.0
"""Seconds that a run of the pipeline may take: on a starved machine 20 minutes were not enough."""
LOOK = 0.1
"""Seconds between two looks at the work done."""


@dataclass(frozen=True)
class Untouched:
    """A run that nobody killed."""

    outputs: dict[str, str]
    summary: dict[str, Any]
    work: float
    """Processor seconds: a moment of a run is told by them, since a busy machine stretches the clock's."""


def run(count: int, folder: Path) -> dict[str, Any]:
    """Kill one run of the pipeline until it ends, at most `count` times, and compare it; `left` are still to do."""
    whole, place, chance = _untouched(folder / "whole"), prepared(folder / "killed"), random.Random(count)
    kills, broken = 0, []
    while kills < count:
        status, printed = _killed(place, chance.uniform(0, LATEST * whole.work))
        if status is not None:
            broken += [printed[-2000:]] if status else []
            break
        kills += 1
    else:
        run_in(place, "dvc", "repro", timeout=PATIENCE)
    different = 0 if broken else int((hashes(place), summary(place)) != (whole.outputs, whole.summary))
    shutil.rmtree(place)
    return {"kills": kills, "pipelines": 1, "different": different, "broken": broken,
            "left": 0 if broken else count - kills, "faults": different + len(broken)}


def prepared(place: Path) -> Path:
    """A copy of the project with the smoke profile and its data, before the first stage."""
    place.mkdir(parents=True)
    make_place(place)
    run_in(place, "relay", "ingest", "--data", "data")
    run_in(place, "dvc", "add", "--quiet", "data")
    return place


@cache
def _untouched(place: Path) -> Untouched:
    prepared(place)
    before = _work_of_children()
    run_in(place, "dvc", "repro", timeout=PATIENCE)
    return Untouched(hashes(place), summary(place), _work_of_children() - before)


def _work_of_children() -> float:
    """Processor seconds of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _killed(place: Path, work: float) -> tuple[int | None, str]:
    """Run the pipeline for so many processor seconds; its exit code, None when it was killed with all its own."""
    log = place.with_suffix(".log")
    with log.open("w") as file, subprocess.Popen(["dvc", "repro"], cwd=place, env=environment(place), stdout=file,
                                                 stderr=subprocess.STDOUT, process_group=0) as process:
        while process.poll() is None:
            tree = _tree(process.pid)
            if _work(tree) >= work:
                os.killpg(process.pid, signal.SIGKILL)
                for one in tree:  # of another group, as what a launcher started
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
                return None, ""
            time.sleep(LOOK)
    return process.returncode, log.read_text()


def _tree(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _work(tree: list[psutil.Process]) -> float:
    """Processor seconds of these and of their children that have ended."""
    total = 0.0
    for process in tree:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
