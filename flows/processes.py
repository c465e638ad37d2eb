"""Run a command of ours or of DVC's so that it never outlives the flow, and pass on what it prints."""

from __future__ import annotations

import os
import queue
import shlex
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.failure import can_heal, reason_of
from flows.interruption import told_at_once
from relayllm.errors import StageError
from relayllm.processes import end_group, end_with_parent
from relayllm.progress import MARK, MARKED_LINES

_running: set[subprocess.Popen[bytes]] = set()
_enders: set[Callable[[], None]] = set()
_ended = threading.Event()


def run(words: list[str], root: Path, name: str, say: Callable[[str], None], log: Path | None = None) -> None:
    """Run a command to its end, in a process group of its own.

    With a log everything that it prints goes there, and only lines of ours are said: libraries print much.

    Raises:
        StageError: it failed, its last lines are in the message; or the flow was interrupted.
    """
    if _ended.is_set():  # a task that is tried again while the flow ends
        raise StageError(f"{name} was not started: the flow was interrupted", can_heal=False)
    last: deque[str] = deque(maxlen=25)
    process = subprocess.Popen(words, cwd=root, env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=end_with_parent)
    _running.add(process)
    try:
        with _logged(log, say) as on_line:
            for line in _lines(process):
                last.append(line.removeprefix(MARK))
                on_line(line)
        code = process.wait()
    except BaseException:  # cancelled, timed out, interrupted: nothing may go on behind our back
        end_group(process)
        raise
    finally:
        _running.discard(process)
    if code:
        reason, shown = reason_of([*last], code), "\n".join(f"    {line}" for line in last)
        whole = f"All that it printed: {log}\n" if log else ""
        raise StageError(f"{name} failed: {reason}\nIts last lines, exit code {code}:\n{shown}\n{whole}"
                         f"Run it by hand: {shlex.join(words)}", can_heal=can_heal(reason) and not _ended.is_set())


@contextmanager
def ended_together() -> Iterator[None]:
    """Whatever interrupts this block ends all commands that run, in whichever thread: only the main one hears of it."""
    _ended.clear()
    try:
        with told_at_once(_end_all):
            yield
    except BaseException:
        _end_all()
        raise


@contextmanager
def ended_by(end: Callable[[], None]) -> Iterator[None]:
    """While the block, something runs that is no process of ours: `end` ends it when the flow is interrupted."""
    _enders.add(end)
    try:
        yield
    finally:
        _enders.discard(end)


def interrupted(seconds: float) -> bool:
    """Wait so long; whether the flow was interrupted."""
    return _ended.wait(seconds)


def _end_all() -> None:
    _ended.set()
    for end in [*_enders]:
        end()
    for process in [*_running]:
        end_group(process)


@contextmanager
def _logged(log: Path | None, say: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """What is done with each line: `say` alone, or the log of all and `say` of what is marked as ours."""
    if log is None:
        yield lambda line: say(line.removeprefix(MARK))
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8", buffering=1) as file:
        def on_line(line: str) -> None:
            file.write(line.removeprefix(MARK) + "\n")
            if line.startswith(MARK):
                say(line[1:])

        yield on_line


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Lines as they come. Bars that redraw themselves count as a line each time they are redrawn."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        rest = b""
        while chunk := os.read(process.stdout.fileno(), 65536):
            *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
            for line in whole:
                lines.put(line.decode(errors="replace").rstrip())
        lines.put(rest.decode(errors="replace").rstrip())
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while (line := lines.get()) is not None:
        if line:
            yield line


def _environment() -> dict[str, str]:
    folder = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "")
    return {**os.environ, "PATH": path if path.startswith(folder) else f"{folder}{os.pathsep}{path}",
            "PYTHONUNBUFFERED": "1", MARKED_LINES: "1"}
