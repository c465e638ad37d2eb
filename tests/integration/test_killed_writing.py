"""What a killed process leaves of what it wrote."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from relayllm.files import atomic_write, write_json


def killed_while_writing(target) -> None:
    """A process that writes, and dies in the middle of it."""
    code = ("import os, signal, sys; from pathlib import Path; from relayllm.files import atomic_write\n"
            "with atomic_write(Path(sys.argv[1])) as part:\n"
            "    part.mkdir(); (part / 'half').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)")
    assert subprocess.run([sys.executable, "-c", code, str(target)], check=False).returncode == -signal.SIGKILL


def test_killed_writing_leaves_what_was_there_and_the_next_writing_clears_up(tmp_path):
    target = tmp_path / "x"
    target.write_text("before")
    killed_while_writing(target)
    assert target.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 2
    write_json(target, 1)
    assert list(tmp_path.iterdir()) == [target]


def test_parts_of_a_killed_writer_are_cleared_up_when_its_number_runs_again(tmp_path):
    target = tmp_path / "x"
    killed_while_writing(target)
    [left] = tmp_path.iterdir()
    _, number_and_start, *rest = left.name.removeprefix(".").split(".")
    start = number_and_start.partition("-")[2]
    left.rename(tmp_path / f".x.{os.getpid()}-{start}.{'.'.join(rest)}")  # our number, the start of the one before us
    write_json(target, 1)
    assert list(tmp_path.iterdir()) == [target]

BEGINS = ("import sys\nfrom pathlib import Path\nfrom relayllm.files import atomic_write\n"
          "with atomic_write(Path(sys.argv[1])) as part:\n    part.touch(); print(flush=True); sys.stdin.read()")


@pytest.mark.parametrize("reaped", [True, False], ids=["gone", "waiting for its parent"])
def test_parts_of_a_writer_that_dies_meanwhile_are_cleared_up(tmp_path, reaped):
    target = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", BEGINS, str(target)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        with atomic_write(target) as part:
            assert len([*tmp_path.glob(".*.part")]) == 1  # the other one's: it is alive
            part.touch()
            writer.kill()
            os.waitid(os.P_PID, writer.pid, os.WEXITED | (0 if reaped else os.WNOWAIT))
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
