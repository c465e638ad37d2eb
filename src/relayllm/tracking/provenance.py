"""Where a result comes from: the commit, the hash of a file, the data set's digest."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path


def git_commit(root: Path) -> str:
    """The commit that is checked out; empty outside of git."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


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
