"""Say how far a long step is, in lines that logs can keep."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_SECONDS = 5.0


def printer(name: str, *, end: bool = True) -> Callable[[int, int], None]:
    """A function of (done, total) that prints now and then, and at the end unless somebody else says that."""
    started = shown = time.monotonic()

    def say(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        due = end if done == total else now - shown >= EVERY_SECONDS
        if not due:
            return
        shown = now
        print(f"{name}: {done}/{total} in {now - started:.0f} s", flush=True)

    return say
