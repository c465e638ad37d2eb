"""DVC's notes of who reads and writes which output, without those that a `kill -9` left behind.

DVC drops the notes of processes that are gone. It stops at a number that another process has by now (after a container
was started again this is the rule), and at a file that was cut off.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from relayllm.files import write_json


def drop_dead_notes(notes: Path) -> None:
    """Take out of DVC's file what no process that runs has written; whoever calls holds DVC's lock of it."""
    try:
        held = json.loads(notes.read_text(encoding="utf-8"))
        alive = {"write": {path: note for path, note in held["write"].items() if _runs(note)},
                 "read": {path: kept for path, readers in held["read"].items()
                          if (kept := [note for note in readers if _runs(note)])}}
    except (ValueError, LookupError, TypeError, AttributeError):
        notes.unlink()  # cut off in the middle
        return
    if alive != held:
        write_json(notes, alive)


def _runs(note: dict[str, Any]) -> bool:
    """Whether the process of that number was started with any of the words of the note."""
    import psutil

    try:
        return bool({*psutil.Process(int(note["pid"])).cmdline()} & {*note["cmd"].split()})
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # another user's: it may be one
        return True
