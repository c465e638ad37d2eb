"""A disk that fills in every stage: the stage fails and says so, and with room again the pipeline ends as ever."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.reliability.kills import PATIENCE, prepared
from benchmarks.reliability.places import hashes
from flows.dvc_stages import read_plan
from tests.support.places import environment
from tests.support.places import run as run_in

SIZE = 3 << 30
"""Bytes of the disk."""
BLOCK = 4096


def run(count: int, folder: Path) -> dict[str, Any]:
    """Fill the disk in each stage when half of what it writes is there; needs root, for a disk of its own in memory."""
    if os.geteuid():
        return {"stages": 0, "faults": 0, "skipped": "mounting a disk needs root"}
    whole = prepared(folder / "whole")
    run_in(whole, "dvc", "repro", timeout=PATIENCE)
    sizes = _sizes(whole)
    found: dict[str, str] = {}
    with _disk(folder / "disk") as disk:
        place = prepared(disk / "place")
        for stage in read_plan(place).stages:
            found[stage.name] = _filled(place, disk, stage.name, sizes[stage.name] // 2)
            run_in(place, "dvc", "repro", "--single-item", stage.name, timeout=PATIENCE)
        same = hashes(place) == hashes(whole)
    unsaid = [name for name, line in found.items() if "space" not in line and "disk" not in line]
    return {"stages": len(found), "last_lines": found, "same_outputs": same, "faults": len(unsaid) + (not same)}


def _sizes(place: Path) -> dict[str, int]:
    """Bytes that each stage writes, by dvc.lock."""
    lock = yaml.safe_load((place / "dvc.lock").read_text(encoding="utf-8"))
    return {name: sum(out["size"] for out in stage["outs"]) for name, stage in lock["stages"].items()}


def _filled(place: Path, disk: Path, stage: str, left: int) -> str:
    """Run a stage with so many bytes left; the last line that it printed, before DVC's own."""
    filler = disk / "filler"
    _fill(filler, max(left, BLOCK))
    try:
        done = subprocess.run(["dvc", "repro", "--single-item", stage], cwd=place, env=environment(place),
                              capture_output=True, text=True, check=False)
    finally:
        filler.unlink()
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("relay: ")]
    return "no space was missed" if done.returncode == 0 else "".join(lines[-1:])[:300]


def _fill(filler: Path, left: int) -> None:
    """Take all of a disk but so many bytes; what the stage before writes last may come between."""
    with filler.open("wb") as file:
        while True:
            free = os.statvfs(filler).f_bavail * os.statvfs(filler).f_frsize
            try:
                return os.posix_fallocate(file.fileno(), 0, max(BLOCK, free - left))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                file.truncate(0)


@contextmanager
def _disk(where: Path) -> Iterator[Path]:
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)
