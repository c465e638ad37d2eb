"""A disk that fills while a stage writes: a real one, of a few kilobytes, where this machine lets us mount it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.places import ROOT, environment

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)], check=False,
                             capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"mounting a small disk needs root: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    shutil.copyfile(ROOT / "params/smoke.yaml", tmp_path / "params.yaml")
    return tmp_path


def last_line(place: Path, *words: str) -> str:
    """What a command that fails says last."""
    done = subprocess.run([sys.executable, "-m", "relayllm.cli", *words], cwd=place, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
                          env=environment(place, PYTHONPATH=str(ROOT / "src"), RELAY_ROOT=str(place)))
    assert done.returncode == 1, done.stdout[-4000:]
    return done.stdout.splitlines()[-1]


def test_stage_on_a_full_disk_says_so_last(place: Path, small_disk: Path):
    said = last_line(place, "ingest", "--data", str(small_disk / "data"))
    assert said.startswith(f"relay: DiskFull: no space left on the disk for {small_disk}/data")


def test_training_process_on_a_full_disk_says_so_last(place: Path, small_disk: Path):
    models = [word for role in ("student", "teacher", "others")
              for word in (f"--{role}", str(small_disk / role))]
    said = last_line(place, "base-models", "--data", "data", *models, "--metrics", "metrics.json")
    assert said.startswith("relay: DiskFull: no space left on the disk")
