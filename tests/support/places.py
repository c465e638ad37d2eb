"""A folder of its own for a whole pipeline: a copy of what git tracks, with the smoke profile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "infra/images"
THEN = "2026-01-01T00:00:00Z"


def environment(place: Path, **more: str) -> dict[str, str]:
    """Only this folder's stores and code; no network."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("PREFECT_", "MLFLOW_", "RELAY_", "COV_", "PYTEST_", "DVC_"))}
    folder = str(Path(sys.executable).parent)
    return {**kept, "PATH": f"{folder}{os.pathsep}{kept['PATH']}", "PYTHONPATH": str(place / "src"),
            "PREFECT_HOME": str(place / ".store/prefect"), "HF_HUB_OFFLINE": "1",
            "TORCH_EXTENSIONS_DIR": str(ROOT / ".store/torch_extensions"),
            **more}


def run(place: Path, *words: str, timeout: float = 1200, **more: str) -> str:
    """Run a command in the folder; its output."""
    done = subprocess.run(words, cwd=place, env=environment(place, **more), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout[-6000:]}"
    return done.stdout


def run_killed(place: Path, before: Path, *words: str) -> str:
    """Run a command that is killed, with all that it started, just before a file or folder appears; its output."""
    killing = {"KILL_BEFORE": str(before),
               "PYTHONPATH": f"{Path(__file__).parent / 'killing'}{os.pathsep}{place / 'src'}"}
    with subprocess.Popen(words, cwd=place, env=environment(place, **killing), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
        printed, _ = process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL, f"not killed before {before}:\n{printed[-6000:]}"
    return printed


def make_place(folder: Path) -> Path:
    """Copy the project; the commit is the same in every copy."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True,
                            check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    run(folder, "git", "init", "-q", ".")
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=smoke", "-c", "user.email=smoke@localhost", "commit", "-qm", "smoke",
        GIT_AUTHOR_DATE=THEN, GIT_COMMITTER_DATE=THEN)
    run(folder, "relay", "profile", "smoke")
    return folder
