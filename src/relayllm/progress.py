"""Progress of a long step, in lines that logs can keep: how far, at which rate, and how long it will take yet."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

EVERY_SECONDS = 5.0
MARK = "\x1e"
"""Stands before a line of ours where RELAY_MARKED_LINES is 1, so that a flow can tell it from what libraries print."""
MARKED_LINES = "RELAY_MARKED_LINES"
Clock = Callable[[], float]
Report = Callable[[int, int], None]
"""Told (done, total) again and again; the first time with what was there before."""


class Rate:
    """How fast a count grows; what was there at the start is no part of it."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock, self._started, self._done = clock, clock(), 0
        self._first: tuple[float, int] | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started

    def count(self, more: int) -> None:
        """Add to the count what was made since the last time."""
        self._done += more
        if self._first is None and more:
            self._first = self.seconds, self._done

    def left(self, remaining: int) -> float | None:
        """Seconds that the rest takes at this rate; None while it is not known.

        The first ones took the loading of models as well: they are left out, and nothing is said before the others
        were at work for as long.
        """
        if self._first is None or not remaining:
            return None
        until_first, first = self._first
        since, made = self.seconds - until_first, self._done - first
        return remaining * since / made if made and since >= until_first else None


class Progress:
    """A step of several parts, with one rate and one end in sight for all of them."""

    def __init__(self, name: str, say: Callable[[str], None] | None = None, clock: Clock = time.monotonic) -> None:
        self._name, self._say, self._clock = name, say or print_line, clock
        self._rate, self._shown = Rate(clock), clock()
        self._total = self._done = 0

    def expect(self, total: int) -> None:
        """Set how many all parts have together."""
        self._total = total

    def part(self, label: str) -> Report:
        """The report of one part; its first number is what need not be made."""
        before, known = self._done, -1

        def report(done: int, total: int) -> None:
            nonlocal known
            if known >= 0:
                self._rate.count(done - known)
            known, self._done = done, before + done
            self._show(label, done, total)

        return report

    def _show(self, label: str, done: int, total: int) -> None:
        if self._clock() - self._shown < EVERY_SECONDS:
            return
        self._shown = self._clock()
        whole = max(self._total, self._done - done + total)
        of_all = f"; {self._done}/{whole} of all" if whole > total else ""
        self._say(f"{self._name}: {label} {done}/{total}{of_all}{_times(self._rate, whole - self._done)}")


def printer(name: str, *, end: bool = True) -> Report:
    """A report that prints now and then, and at the end unless somebody else says that."""
    rate, shown, known = Rate(), time.monotonic(), -1

    def report(done: int, total: int) -> None:
        nonlocal shown, known
        now = time.monotonic()
        if known >= 0:
            rate.count(done - known)
        known = done
        if end if done == total else now - shown >= EVERY_SECONDS:
            shown = now
            print_line(f"{name}: {done}/{total}{_times(rate, total - done)}")

    return report


def duration(seconds: float) -> str:
    """Seconds for people: `40 s`, `3 min`, `2.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def time_left(rate: Rate, remaining: int) -> str:
    """How long the rest will take, as the end of a line; empty while it is not known."""
    left = rate.left(remaining)
    return "" if left is None else f", about {duration(left)} left"


def _times(rate: Rate, remaining: int) -> str:
    return f" in {duration(rate.seconds)}{time_left(rate, remaining)}"


def print_line(text: str) -> None:
    """Print what a person at the screen wants to know of a stage."""
    mark = MARK if os.environ.get(MARKED_LINES) == "1" else ""
    print("\n".join(mark + line for line in text.splitlines()), flush=True)
