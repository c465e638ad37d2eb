"""Two runs of the pipeline at once in one folder: one ends as ever, the other too or is refused by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.reliability.kills import prepared
from benchmarks.reliability.places import hashes
from tests.support.places import environment
from tests.support.places import run as run_in

REFUSED = "another DVC is at work"
"""What the second run says when the first holds a stage's files."""


def run(count: int, folder: Path) -> dict[str, Any]:
    """Start two at the same moment, `count` times; afterwards another run must find nothing to do."""
    whole = prepared(folder / "whole")
    run_in(whole, "dvc", "repro")
    wanted, codes, broken = hashes(whole), [], []
    for turn in range(count):
        place = prepared(folder / f"place-{turn}")
        both = [subprocess.Popen([sys.executable, "flows/make.py"], cwd=place, env=environment(place), text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
        printed = [process.communicate()[0] for process in both]
        codes.append([process.returncode for process in both])
        broken += [text[-1500:] for process, text in zip(both, printed, strict=True)
                   if process.returncode and REFUSED not in text]
        if all(codes[-1]) or hashes(place) != wanted or "up to date" not in run_in(place, "dvc", "repro"):
            broken.append(f"turn {turn}: codes {codes[-1]}, or other outputs than one run alone has")
    return {"runs": 2 * count, "codes": codes, "refused": sum(sum(map(bool, pair)) for pair in codes), "broken": broken,
            "faults": len(broken)}
