"""The screen of `make pipeline` on a terminal, and in a pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.places import ROOT

SAYS = """
import logging, sys
from pathlib import Path
from flows.screen import shown

def say(text):
    logging.getLogger("prefect.task_runs").info(text, extra={"task_run_name": "grpo"})

logging.getLogger("prefect").setLevel(logging.INFO)
with shown(Path(sys.argv[1])):
    print("Loading weights: 100%", file=sys.stderr)
    say("step 3/60, reward 0.41")
    sys.stdin.readline()
    say("warning: the disk is nearly full")
    say("Finished in state Completed('ran for 4 s')")
"""


def flow(logs: Path, **streams) -> subprocess.Popen:
    """A process that shows a stage; it goes on when it has read a line."""
    return subprocess.Popen([sys.executable, "-c", SAYS, logs], cwd=ROOT, **streams, env={
        **os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "COLUMNS": "100", "TERM": "xterm"})


def written(terminal: int) -> Iterator[bytes]:
    """What comes to a terminal, until nobody has its other end any more."""
    try:
        while part := os.read(terminal, 1 << 16):
            yield part
    except OSError:  # so Linux says it
        return


def test_terminal_has_a_line_that_moves_and_nothing_of_libraries(tmp_path):
    ours, theirs = pty.openpty()
    with flow(tmp_path, stdin=subprocess.PIPE, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        seen = b""
        for part in written(ours):
            seen += part
            if b"step 3/60, reward 0.41" in seen and not running.stdin.closed:
                running.stdin.write(b"\n")
                running.stdin.close()
    os.close(ours)
    shown = seen.decode()
    assert "warning: the disk is nearly full" in shown
    assert shown.count("\x1b[2K") > 1  # a line that is written anew
    assert "✓" in shown.rsplit("grpo", 1)[0].rsplit("\n", 1)[-1]
    assert "Loading weights" not in shown
    assert "Loading weights" in (tmp_path / "flows.log").read_text()


def test_pipe_has_plain_lines_without_tricks_of_the_cursor(tmp_path):
    with flow(tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        out = running.communicate()[0].decode()
    *lines, last = out.splitlines()
    assert lines == ["  grpo: step 3/60, reward 0.41", "grpo: warning: the disk is nearly full"]
    assert re.fullmatch(r"✓ grpo: \d+ s", last)
