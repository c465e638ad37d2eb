"""checkout.sh, as the init containers run it, on real repositories: changed, moved on, crashed, misconfigured."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "infra" / "images" / "checkout.sh"
WHO = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@localhost", "GIT_COMMITTER_NAME": "a",
       "GIT_COMMITTER_EMAIL": "a@localhost"}


def environment(**more: str) -> dict[str, str]:
    """No git settings of this machine, this environment's dvc."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "RELAY_", "DVC_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **more}


def git(folder: Path, *words: str) -> str:
    return subprocess.check_output(["git", *words], cwd=folder, env=environment(**WHO), text=True).strip()


def commit(folder: Path, **files: str) -> str:
    """Write files, `__` standing for a dot in the name, and commit; the commit."""
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "change")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    folder = tmp_path / "upstream"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder, dvc__lock="of upstream, first", code__py="first", __gitignore="/artifacts/\n")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A volume as a file system comes."""
    folder = tmp_path / "project"
    (folder / "lost+found").mkdir(parents=True)
    return folder


def bring(project: Path, upstream: Path | str, revision: str = "main", **more: str) -> subprocess.CompletedProcess[str]:
    """Run the script as the container does."""
    told = environment(RELAY_ROOT=str(project), RELAY_REPOSITORY=str(upstream), RELAY_REVISION=revision, **more)
    return subprocess.run(["sh", str(SCRIPT)], env=told, capture_output=True, text=True, timeout=60, check=False)


def brought(project: Path, upstream: Path, revision: str = "main", **more: str) -> str:
    done = bring(project, upstream, revision, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def left(project: Path) -> list[str]:
    return git(project, "branch", "--list", "left/*", "--format", "%(refname:short)").split()


def test_checkout_empty_volume_has_the_revision(project, upstream):
    brought(project, upstream)
    assert (project / "dvc.lock").read_text() == "of upstream, first"
    assert git(project, "rev-parse", "HEAD") == git(upstream, "rev-parse", "main")
    assert git(project, "status", "--porcelain") == ""


def test_checkout_again_at_the_same_revision_touches_nothing(project, upstream):
    brought(project, upstream)
    (project / "dvc.lock").write_text("of a run here")
    (project / "note.txt").write_text("a person's")
    assert "nothing is touched" in brought(project, upstream)
    assert (project / "dvc.lock").read_text() == "of a run here"
    assert (project / "note.txt").read_text() == "a person's"
    assert left(project) == []


def test_checkout_lock_changed_on_both_sides_moves_on_and_keeps_what_tells_of_the_outputs_here(project, upstream):
    brought(project, upstream)
    (project / "dvc.lock").write_text("of a run here")
    (project / "artifacts").mkdir()
    (project / "artifacts/model").write_text("weights")
    wanted = commit(upstream, dvc__lock="of upstream, second", code__py="second")
    for _ in range(2):
        brought(project, upstream)
        assert git(project, "rev-parse", "HEAD") == wanted
        assert (project / "code.py").read_text() == "second"
        assert (project / "dvc.lock").read_text() == "of a run here"
        assert (project / "artifacts/model").read_text() == "weights"
        assert git(project, "status", "--porcelain") == "M dvc.lock"
        assert left(project) == []


def test_checkout_lock_that_no_run_changed_follows_upstream(project, upstream):
    brought(project, upstream)
    commit(upstream, dvc__lock="of upstream, second")
    brought(project, upstream)
    assert (project / "dvc.lock").read_text() == "of upstream, second"


@pytest.mark.parametrize("arrives", [False, True])
def test_checkout_lock_that_git_does_not_know_stays(project, upstream, arrives):
    git(upstream, "rm", "--quiet", "dvc.lock")
    commit(upstream, code__py="second")
    brought(project, upstream)
    (project / "dvc.lock").write_text("of a run here")
    commit(upstream, code__py="third", **({"dvc__lock": "of upstream"} if arrives else {}))
    brought(project, upstream)
    assert (project / "code.py").read_text() == "third"
    assert (project / "dvc.lock").read_text() == "of a run here"


def test_checkout_dirty_tree_gives_way_and_nothing_is_lost(project, upstream):
    brought(project, upstream)
    (project / "code.py").unlink()
    (project / "new.py").write_text("written in the pod")
    commit(project, note__txt="committed in the pod")
    (project / "params.yaml").write_text("staged")
    git(project, "add", "params.yaml")
    commit(upstream, new__py="upstream's")
    brought(project, upstream)
    assert git(project, "status", "--porcelain") == ""
    assert ((project / "code.py").read_text(), (project / "new.py").read_text()) == ("first", "upstream's")
    (branch,) = left(project)
    kept = git(project, "ls-tree", "--name-only", branch).split()
    assert {"note.txt", "params.yaml"} <= set(kept)
    assert "code.py" not in kept
    assert git(project, "show", f"{branch}:new.py") == "written in the pod"


def test_checkout_takes_a_branch_a_tag_or_a_commit_and_goes_back(project, upstream):
    first = git(upstream, "rev-parse", "HEAD")
    git(upstream, "tag", "--annotate", "--message", "one", "v1")
    second = commit(upstream, code__py="second")
    git(upstream, "branch", "side", first)
    for revision, wanted in (("main", second), ("v1", first), (second, second), ("side", first)):
        brought(project, upstream, revision)
        assert git(project, "rev-parse", "HEAD") == wanted, revision
    assert left(project) == []


def test_checkout_history_that_was_rewritten_is_followed(project, upstream):
    brought(project, upstream)
    git(upstream, "commit", "--quiet", "--amend", "--message", "rewritten")
    brought(project, upstream)
    assert git(project, "rev-parse", "HEAD") == git(upstream, "rev-parse", "main")


def test_checkout_locks_of_a_crash_are_no_obstacle(project, upstream):
    brought(project, upstream)
    wanted = commit(upstream, code__py="second")
    for lock in ("index.lock", "HEAD.lock", "config.lock", "refs/relay/checkout.lock"):
        (project / ".git" / lock).touch()
    brought(project, upstream)
    assert git(project, "rev-parse", "HEAD") == wanted


def test_checkout_killed_anywhere_comes_out_right_the_next_time(project, upstream):
    draw = random.Random(0)
    for number in range(8):
        wanted = commit(upstream, code__py=f"{number}", **{f"file{index}": f"{number}" for index in range(200)})
        if number:
            (project / "dvc.lock").write_text(f"of run {number}")
        told = environment(RELAY_ROOT=str(project), RELAY_REPOSITORY=str(upstream), RELAY_REVISION="main")
        with subprocess.Popen(["sh", str(SCRIPT)], env=told, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              start_new_session=True) as process:
            time.sleep(draw.uniform(0, 0.06))
            os.killpg(process.pid, signal.SIGKILL)
        brought(project, upstream)
        assert git(project, "rev-parse", "HEAD") == wanted
        assert (project / "code.py").read_text() == f"{number}"
        assert {path.read_text() for path in project.glob("file*")} == {f"{number}"}
        assert (project / "dvc.lock").read_text() == (f"of run {number}" if number else "of upstream, first")


def test_checkout_of_a_clone_that_somebody_else_made_keeps_its_changes(project, upstream):
    shutil.rmtree(project)
    git(upstream, "clone", "--quiet", ".", str(project))
    (project / "code.py").write_text("a person's")
    commit(upstream, code__py="second")
    brought(project, upstream)
    (branch,) = left(project)
    assert git(project, "show", f"{branch}:code.py") == "a person's"


@pytest.mark.parametrize(("repository", "revision", "says"), [
    ("", "main", "RELAY_REPOSITORY is empty"),
    ("https://git.example.com/relayllm.git", "main", "infra/kubernetes/site"),
    ("/nowhere", "", "RELAY_REVISION is empty")])
def test_checkout_misconfigured_says_what_to_set(project, repository, revision, says):
    done = bring(project, repository, revision)
    assert done.returncode == 64
    assert says in done.stderr


def test_checkout_unreachable_repository_fails_and_leaves_what_is_there(project, upstream, tmp_path):
    brought(project, upstream)
    done = bring(project, tmp_path / "nowhere")
    assert done.returncode not in (0, 64)
    assert "nowhere" in done.stderr
    assert (project / "code.py").read_text() == "first"


def test_checkout_address_with_a_token_is_written_nowhere(project, upstream):
    brought(project, upstream)
    done = bring(project, "http://reader:SECRET-TOKEN@127.0.0.1:9/relayllm.git")
    assert done.returncode != 0
    assert "SECRET-TOKEN" not in done.stdout + done.stderr
    assert not [path for path in (project / ".git").rglob("*") if path.is_file()
                and b"SECRET-TOKEN" in path.read_bytes()]
