"""The data of the shipped profile are the bytes that `data.dvc` pins, on any clone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml

from relayllm.config import load_params
from relayllm.stages.ingest import run

ROOT = Path(__file__).parents[3]


def dvc_digest(folder: Path) -> str:
    """The hash DVC gives a folder: of the list of its files and their hashes."""
    files = [{"md5": hashlib.md5(path.read_bytes()).hexdigest(), "relpath": path.relative_to(folder).as_posix()}
             for path in sorted(folder.rglob("*")) if path.is_file()]
    listed = json.dumps(sorted(files, key=lambda entry: entry["relpath"].split("/")), sort_keys=True)
    return hashlib.md5(listed.encode()).hexdigest() + ".dir"


def test_ingest_tiny_profile_gives_the_pinned_bytes(tmp_path: Path) -> None:
    pin = ROOT / "data.dvc"
    if not pin.is_file():
        pytest.skip("no data.dvc yet: run `make ingest` and commit it")
    run(load_params(ROOT / "params" / "tiny.yaml"), data=tmp_path / "data")
    assert dvc_digest(tmp_path / "data") == yaml.safe_load(pin.read_text())["outs"][0]["md5"]
