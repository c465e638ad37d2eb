"""`relay study` in a process of its own: what ends it ends the step that it is in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.places import ROOT, environment
from tests.support.waiting import alive, eventually

pytestmark = pytest.mark.slow


def children(process: int) -> list[int]:
    """Numbers of the processes that it started and that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with suppress(OSError):
            if f"\nPPid:\t{process}\n" in status.read_text():
                found.append(int(status.parent.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_study_that_is_ended_ends_its_step(tmp_path: Path, number: signal.Signals):
    words = [sys.executable, "-c", "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
             "from relayllm.cli import main; sys.exit(main(sys.argv[1:]))",  # a shell's background jobs ignore it
             "study", "--seeds", "0", "--params", str(ROOT / "params/smoke.yaml"),
             "--results", str(tmp_path / "results.md")]
    told = environment(tmp_path, PYTHONPATH=str(ROOT / "src"), RELAY_ROOT=str(tmp_path))
    with subprocess.Popen(words, cwd=tmp_path, env=told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as study:
        assert study.stdout is not None
        assert study.stdout.readline().startswith(b"study: ingest")
        assert eventually(lambda: children(study.pid) != [])
        [step] = children(study.pid)
        os.kill(step, signal.SIGSTOP)  # it would be done before anybody looked
        study.send_signal(number)
        study.stdout.close()
        try:
            assert eventually(lambda: not alive(step))
        finally:
            with suppress(ProcessLookupError):
                os.kill(step, signal.SIGKILL)
    assert not (tmp_path / "results.md").exists()
