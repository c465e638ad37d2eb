"""Child processes end with whoever started them, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT
from tests.support.waiting import alive, eventually

CHILD = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)"
PARENT = """
import os, signal, sys
from relayllm.processes import run_in_group
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, and so would this
sys.exit(run_in_group([sys.executable, "-c", sys.argv[1], sys.argv[2]], dict(os.environ)))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_child_ends_with_its_parent(tmp_path: Path, number):
    pid = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD, str(pid)], stderr=subprocess.DEVNULL,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "src")}) as parent:
        assert eventually(lambda: pid.is_file() and pid.read_text() != "")
        parent.send_signal(number)
    assert eventually(lambda: not alive(int(pid.read_text())))


def test_exit_code_is_the_child_s(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", PARENT, "raise SystemExit(7)", ""], check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT / "src")})
    assert done.returncode == 7
