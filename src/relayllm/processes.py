"""Processes of this machine: children that end with whoever started them, who still runs, a port for a server."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

PARENT = "RELAY_PARENT"
"""Names the process that a command of ours ends with, for what the kernel does not see: children of its children."""


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Ask the kernel to signal this child when the thread that started it ends, kill -9 included. For `preexec_fn`."""
    ctypes.CDLL(None).prctl(1, number)


def end_group(process: subprocess.Popen[bytes], patience: float = 5.0) -> None:
    """Ask a process and its children to end, then make them."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def started(process: int) -> str:
    """When a process started, in clock ticks: with its number, its name, for numbers come again (proc(5), stat).

    Empty when it is gone; a zombie is.
    """
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if state in "ZX" else fields[18]


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_in_group(words: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> int:
    """Run a command to its end, in a group that ends when this call does: by Ctrl-C, SIGTERM or kill -9."""
    process = subprocess.Popen(words, cwd=folder, env={**environment, PARENT: str(os.getpid())},
                               start_new_session=True, preexec_fn=end_with_parent)
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        return process.wait()
    except BaseException:
        end_group(process)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)
