"""Two runs of the pipeline at once in one folder: both end, nothing is done twice over, and the outputs are as ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.reliability.kills import prepared
from benchmarks.reliability.places import hashes
from tests.support.places import environment
from tests.support.places import run as run_in


def run(count: int, folder: Path) -> dict[str, Any]:
    """Start two at the same moment, `count` times."""
    whole = prepared(folder / "whole")
    run_in(whole, "dvc", "repro")
    codes, same = [], []
    for turn in range(count):
        place = prepared(folder / f"place-{turn}")
        both = [subprocess.Popen([sys.executable, "flows/make.py"], cwd=place, env=environment(place), text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
        printed = [process.communicate()[0] for process in both]
        codes.append([process.returncode for process in both])
        if any(codes[-1]):
            return {"runs": 2 * count, "codes": codes, "faults": 1, "printed": [text[-1500:] for text in printed]}
        same.append(hashes(place) == hashes(whole) and "up to date" in run_in(place, "dvc", "repro"))
    return {"runs": 2 * count, "codes": codes, "faults": same.count(False)}
