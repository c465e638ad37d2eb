"""The process that compares answers with SymPy: reads JSON lines, writes `[same, reason]` lines.

What was read of a gold answer stays read: eight roll-outs of a problem parse it once.

The alarms have their default action on purpose: they end the process, whatever C code it is in. The limit is one of
processor time, so that the same answer gets the same grade beside other work.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
from typing import Any

PATIENCE = 20
"""Seconds on the wall for one of processor time: a busy machine does not change a grade."""
MEMORY = 4 * 2**30
"""Bytes of address space; an answer that needs more is wrong."""


def _verdict(question: dict[str, Any]) -> tuple[bool, str]:
    from relayllm.grading.comparison import fault_of, same
    from relayllm.grading.structure import read

    if "answer" not in question:
        fault = fault_of(read(question["gold"]))
        return fault is None, fault or "readable"
    found = same(question["gold"], question["answer"], question["tolerance"])
    return found, "equivalent" if found else "different"


def _limit(seconds: float) -> None:
    """Set both clocks; nought stops them."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds)


def main() -> None:
    """Answer questions from standard input until it closes."""
    from relayllm.grading import values  # noqa: F401  SymPy and the parser: a second, before a question's clock runs

    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for alarm in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(alarm, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    sys.stdout = sys.stderr  # nothing that a library prints becomes an answer
    print("ready", file=answers)
    for line in sys.stdin:
        question = json.loads(line)
        _limit(question["seconds"])
        try:
            answer = _verdict(question)
        except Exception:  # whatever sympy makes of a strange answer, the answer is wrong
            answer = False, "grader failed"
        _limit(0)
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
