"""What the environment must say before anything is imported, whoever calls pytest.

Threads that wait must not spin: `make` says so, and so does this; with spinning threads the suite took ten times as
long on two busy cores. What Hugging Face's libraries keep lies in a folder of this run: a home may not be writable.
At the end a line for each thing that the machine lacks, with how many tests were skipped for it.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections import Counter

import pytest

from relayllm.settings import THREADS

for name, value in THREADS.items():
    os.environ.setdefault(name, value)
if "PYTEST_XDIST_WORKER" not in os.environ:  # workers inherit it
    os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="relay-tests-hf-")
    atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """pytest's own `-rs` has a line for each test."""
    skipped = terminalreporter.stats.get("skipped", ())
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} skipped: {reason}")
