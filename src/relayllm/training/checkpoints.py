"""Resumable checkpoints: they count only for the very same config and inputs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from relayllm.config import Section
from relayllm.files import write_json

KEY_FILE = "key.json"
WHOLE_FILE = "whole.json"
"""Written last, when every process has written its part: trainers write a checkpoint file by file."""


def key_of(config: Section, inputs: Iterable[Path], extra: str = "") -> str:
    """Changes with every value of the config, other runs excepted, and every byte of the inputs."""
    digest = hashlib.sha256(config.model_dump_json(exclude={"runs"}).encode() + extra.encode())
    for path in inputs:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(file.name.encode())
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def open_folder(folder: Path, key: str) -> Path | None:
    """Prepare the folder of a run; returns the newest whole checkpoint to resume from, if there is one.

    Checkpoints of another key are removed: they belong to other params or inputs. So are halves of checkpoints. Every
    process of a run calls this, one at a time: none removes the folder that another one has prepared.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock_of(folder).open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _prepared(folder, key)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _prepared(folder: Path, key: str) -> Path | None:
    note = folder / KEY_FILE
    known = json.loads(note.read_text())["key"] if note.is_file() else None
    if known != key:
        shutil.rmtree(folder, ignore_errors=True)
        write_json(note, {"key": key})
        return None
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for half in [path for path in found if not (path / WHOLE_FILE).is_file()]:
        shutil.rmtree(half, ignore_errors=True)
    return next((path for path in reversed(found) if path.is_dir()), None)


def mark_whole(checkpoint: Path, content: object = None) -> None:
    """Say that everything of a checkpoint is written; one without the mark is never used."""
    write_json(checkpoint / WHOLE_FILE, content)


def content_of(checkpoint: Path) -> Any:
    """What a checkpoint was marked with."""
    return json.loads((checkpoint / WHOLE_FILE).read_text(encoding="utf-8"))


def close_folder(folder: Path) -> None:
    """Remove what a finished run kept; the key first, so that a half removed folder is never resumed from."""
    (folder / KEY_FILE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    _lock_of(folder).unlink(missing_ok=True)
