"""What dvc.lock does to somebody whose machine is not the author's, by DVC and git themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.places import run

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
STAGES = """
stages:
  train: {cmd: "echo train >>ran.log && printf \\"$MACHINE\\" >model.bin", deps: [data.txt], outs: [model.bin]}
  report: {cmd: "echo report >>ran.log && cat model.bin >report.md", deps: [model.bin], outs: [report.md]}
"""


def git(folder: Path, *words: str) -> str:
    return run(folder, "git", "-c", "user.name=a", "-c", "user.email=a@localhost", *words)


def ran(folder: Path) -> list[str]:
    return (folder / "ran.log").read_text().split()


def commit(folder: Path, *left_out: str) -> None:
    git(folder, "add", "--all", "--", ".", *[f":!{name}" for name in left_out])
    git(folder, "commit", "--quiet", "--message", "change")


@pytest.fixture
def author(tmp_path: Path) -> Path:
    """A project whose outputs differ by machine, run once."""
    folder = tmp_path / "author"
    folder.mkdir()
    (folder / "dvc.yaml").write_text(STAGES)
    (folder / "data.txt").write_text("the same everywhere")
    (folder / ".gitignore").write_text("/model.bin\n/report.md\n/ran.log\n")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    run(folder, "dvc", "init", "--quiet")
    run(folder, "dvc", "repro", MACHINE="author's")
    return folder


def clone(author: Path) -> Path:
    """Another machine's clone, after the pipeline."""
    folder = author.parent / "newcomer"
    git(author, "clone", "--quiet", ".", str(folder))
    run(folder, "dvc", "repro", MACHINE="newcomer's")
    return folder


def move_on(author: Path) -> None:
    (author / "dvc.yaml").write_text(STAGES.replace("cat model.bin", "cat data.txt model.bin"))
    run(author, "dvc", "repro", MACHINE="author's")


def test_lock_of_ones_own_changes_no_file_of_git_and_outlives_a_pull(author):
    commit(author, "dvc.lock")
    newcomer = clone(author)
    assert git(newcomer, "status", "--porcelain") == "?? dvc.lock\n"
    move_on(author)
    commit(author, "dvc.lock")
    git(newcomer, "pull", "--quiet", "--ff-only")
    run(newcomer, "dvc", "repro", MACHINE="newcomer's")
    assert ran(newcomer) == ["train", "report", "report"]


def test_lock_that_a_team_tracks_in_its_own_copy_outlives_a_pull_from_here(author):
    commit(author, "dvc.lock")
    team = clone(author)
    commit(team)
    move_on(author)
    commit(author, "dvc.lock")
    git(team, "pull", "--quiet", "--no-rebase", "--no-edit")
    run(team, "dvc", "repro", MACHINE="newcomer's")
    assert ran(team) == ["train", "report", "report"]


def test_lock_of_another_machine_stands_in_the_way_of_a_pull_and_costs_a_run(author):
    """Why none is tracked here: were this to change in git or DVC, so might the decision."""
    commit(author)
    newcomer = clone(author)
    assert git(newcomer, "status", "--porcelain") == " M dvc.lock\n"
    move_on(author)
    commit(author)
    pulled = subprocess.run(["git", "pull", "--ff-only"], cwd=newcomer, capture_output=True, text=True, check=False)
    assert pulled.returncode != 0
    assert "would be overwritten" in pulled.stderr
    git(newcomer, "restore", "dvc.lock")
    git(newcomer, "pull", "--quiet", "--ff-only")
    run(newcomer, "dvc", "repro", MACHINE="newcomer's")
    assert ran(newcomer) == ["train", "report", "train", "report"]
