"""The commit of a result, asked of git."""

from __future__ import annotations

import subprocess

import pytest

from relayllm.tracking.provenance import git_commit


@pytest.fixture
def checkout(tmp_path):
    for name in ("params.yaml", "dvc.lock", "data.dvc"):
        (tmp_path / name).write_text("as committed")
    somebody = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
    for words in (["init", "-q"], ["add", "-A"], [*somebody, "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


def test_commit_of_a_clean_tree_is_the_commit(checkout):
    assert len(git_commit(checkout)) == 40


@pytest.mark.parametrize(("changed", "dirty"), [("params.yaml", True), ("dvc.lock", False), ("data.dvc", False),
                                                ("untracked.txt", False)])
def test_commit_is_dirty_when_a_tracked_file_differs_that_no_run_writes(checkout, changed, dirty):
    (checkout / changed).write_text("changed")
    assert git_commit(checkout).endswith("-dirty") is dirty


def test_commit_outside_of_git_is_empty(tmp_path):
    assert git_commit(tmp_path) == ""
