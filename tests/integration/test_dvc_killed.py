"""What a `kill -9` leaves in DVC's notes of its locks, by DVC itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

from flows.dvc_locks import drop_dead_notes
from flows.dvc_stages import reproduce
from tests.support.places import run

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text('stages:\n  train: {cmd: "echo a >model.bin", outs: [model.bin]}\n')
    run(tmp_path, "git", "init", "--quiet")
    run(tmp_path, "dvc", "init", "--quiet")
    return tmp_path


def notes(project: Path, pid: int, command: str) -> str:
    note = {"pid": pid, "cmd": command}
    return json.dumps({"write": {str(project / "model.bin"): note}, "read": {str(project / "data"): [note]}})


@pytest.mark.parametrize("left", ["{", "", "[]", "reused"])
def test_stage_runs_over_notes_that_a_killed_dvc_left(project: Path, left: str) -> None:
    text = notes(project, os.getpid(), "dvc --wait-for-lock repro train") if left == "reused" else left
    (project / ".dvc/tmp").mkdir(exist_ok=True)
    (project / ".dvc/tmp/rwlock").write_text(text)
    reproduce(project, "train", print)
    assert (project / "model.bin").read_text() == "a\n"


def test_notes_of_a_process_that_runs_stay(project: Path) -> None:
    (project / ".dvc/tmp").mkdir(exist_ok=True)
    text = notes(project, os.getpid(), " ".join(psutil.Process().cmdline()))
    (project / ".dvc/tmp/rwlock").write_text(text)
    drop_dead_notes(project / ".dvc/tmp/rwlock")
    assert (project / ".dvc/tmp/rwlock").read_text() == text
