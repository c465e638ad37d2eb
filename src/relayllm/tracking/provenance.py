"""Where a result comes from: the commit, the hash of a file, the data set's digest."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

DIRTY = "-dirty"
WRITTEN_BY_RUNS = ("dvc.lock", "data.dvc")
"""What every run may change, and is known by hashes of its own: no reason to call a tree dirty."""


def git_commit(root: Path) -> str:
    """The commit that is checked out, with `-dirty` when tracked files differ from it; empty outside of git."""
    commit = _git(root, "rev-parse", "HEAD").strip()
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".",
                   *(f":(exclude){name}" for name in WRITTEN_BY_RUNS)) if commit else ""
    return commit + DIRTY if changed.strip() else commit


def short_commit(commit: str) -> str:
    """A commit for people: twelve digits, and whether the tree was dirty."""
    return commit.removesuffix(DIRTY)[:12] + (DIRTY if commit.endswith(DIRTY) else "")


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False,
                          env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"})
    return done.stdout if done.returncode == 0 else ""


def file_hash(path: Path) -> str:
    """MD5 of a file, as DVC computes it; empty when it is missing."""
    return hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else ""


def data_digest(root: Path) -> str:
    """The MD5 that `data.dvc` pins, without DVC's suffix for folders."""
    import yaml

    pin = root / "data.dvc"
    if not pin.is_file():
        return ""
    return str(yaml.safe_load(pin.read_text())["outs"][0]["md5"]).removesuffix(".dir")
