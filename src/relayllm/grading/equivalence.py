"""Ask whether two answers are the same in a process of its own, which a hard question cannot hold up.

Sympy can take hours or all memory over `9^{9^{9^9}}`, and a signal does not interrupt an integer power inside C. So a
small worker process compares; its alarm clock ends it when the time is over, in whatever code it is, and the next
question starts a new one (a second). Works from any thread and after a fork.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from relayllm.errors import ConfigError

SOURCE = Path(__file__).parents[2]
TIME_LIMIT = "time limit"
"""The reason of a verdict that nobody came to."""
MAX_CHARS = 1000
"""A longer answer is wrong: a model in a loop would cost the whole time limit for each."""


class _Worker:
    """A running `python -m relayllm.grading.worker`: one line of JSON in, one out."""

    def __init__(self) -> None:
        paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "relayllm.grading.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)})
        self.owner = os.getpid()
        if self._line() != "ready\n":
            raise ConfigError("the grader does not start: run `make env`, or see what "
                              "`python -m relayllm.grading.worker` prints")

    def ask(self, question: dict[str, object]) -> tuple[bool, str] | None:
        """The verdict; None when the worker died over it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._line()
        except OSError:
            return None
        return tuple(json.loads(line)) if line else None

    def cause_of_death(self) -> str:
        """Why the worker ended without a verdict: the time limit, or a fault of the grader. Waits for its end."""
        late = self._process.wait() in (-signal.SIGPROF, -signal.SIGALRM)
        return TIME_LIMIT if late else "grader failed"

    def close(self) -> None:
        """End it; only the process that started it may."""
        if self.owner == os.getpid():
            self._process.kill()
            self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


_lock = threading.Lock()
_worker: _Worker | None = None


def equivalent(gold: str, answer: str, tolerance: float, seconds: float) -> tuple[bool, str]:
    """Whether two LaTeX answers mean the same, and what decided.

    Raises:
        ConfigError: SymPy or latex2sympy is not installed, or does not start.
    """
    if len(answer) > MAX_CHARS:
        return False, "different"
    return _verdict({"gold": gold, "answer": answer, "tolerance": tolerance, "seconds": seconds})


def fault(gold: str, seconds: float) -> str | None:
    """Why a gold answer cannot be compared with; None when all of it can be read."""
    fine, reason = _verdict({"gold": gold, "seconds": seconds})
    return None if fine else reason


def _verdict(question: dict[str, object]) -> tuple[bool, str]:
    with _lock:
        verdict = _running().ask(question)
        if verdict is not None:
            return verdict
        reason = _running().cause_of_death()
        close()
        return False, reason


def _running() -> _Worker:
    global _worker
    if _worker is None or _worker.owner != os.getpid():
        _worker = _Worker()
    return _worker


def close() -> None:
    """End the worker; the next question starts another."""
    global _worker
    if _worker is not None:
        _worker.close()
        _worker = None


atexit.register(close)
os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.Lock()))
