"""Wait until something holds, on a machine that may have much else to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def eventually(check: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Look again until it holds; the time is for a machine with much else to do, and asserts nothing."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.01)
    return check()


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
