"""Why a command failed, read from the last lines it printed: the reason first, and whether another try can help."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence

from relayllm.files import names_full_disk

PERMANENT = ("ConfigError", "DataError", "ModelError", "DiskFull")
"""Errors of errors.py that are the same at the next try: the input must change."""
_OURS = re.compile(r"^relay: (\w+): ")
_RAISED = re.compile(r"^[\w.]*(Error|Exception|Interrupt|Exit)\b")
_RANK = re.compile(r"^\[rank\d+\]: ?")
_KILLED = re.compile(r"exited with -(\d+)\s*$")


def reason_of(lines: Sequence[str], code: int) -> str:
    """The error a command ended with: our own, else the last exception, else what killed it, else its last line."""
    lines = [_RANK.sub("", line) for line in lines]
    for at in range(len(lines) - 1, -1, -1):
        if _OURS.match(lines[at]):
            return "\n".join([lines[at].removeprefix("relay: "), *_continued(lines[at + 1:])])
    raised = [line for line in lines if _RAISED.match(line)]
    full = [line for line in lines if names_full_disk(line)]
    killed = [match for line in lines if (match := _KILLED.search(line))]
    if full:
        return f"DiskFull: {full[-1].strip()}: free some space and run it again"
    if killed:
        return _signal(int(killed[-1].group(1)))
    if code < 0:
        return _signal(-code)
    return next(iter([*raised[-1:], *lines[-1:]]), f"exit code {code}")


def can_heal(reason: str) -> bool:
    """Whether the same command could succeed at the next try: a server that was away, a process that was killed."""
    return reason.partition(":")[0] not in PERMANENT


def _continued(lines: Sequence[str]) -> list[str]:
    """The further lines of an error of ours: they are indented, or a remedy in words; what follows is a launcher's."""
    found: list[str] = []
    for line in lines:
        if line.startswith(("ERROR", "[", "Traceback")) or not line:
            break
        found.append(line)
    return found


def _signal(number: int) -> str:
    name = signal.Signals(number).name if number in {one.value for one in signal.Signals} else str(number)
    return f"killed by {name}{', as Linux does when memory is over' if name == 'SIGKILL' else ''}"
