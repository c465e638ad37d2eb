"""The `relay` command as a process: who reads it and who started it may go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.support.places import ROOT
from tests.support.waiting import alive, eventually


def test_command_whose_reader_leaves_ends_without_a_traceback():
    script = ("import sys, time; from relayllm.cli import main; sys.stdin.readline(); "
              "sys.exit(main(['profile']))")
    process = subprocess.Popen([sys.executable, "-u", "-c", script], cwd=ROOT, text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    process.stdin.write("go\n")
    process.stdin.close()
    said = process.stderr.read()
    assert (process.wait(), said) == (141, "")


def test_stage_ends_when_the_dvc_that_runs_it_is_killed(tmp_path):
    """`dvc` here is a script of that name; what it runs is a command that would wait a minute."""
    (tmp_path / "waiting.py").write_text(
        "import os, pathlib, time\ndef add_arguments(parser): parser.set_defaults()\n"
        f"def main(arguments):\n    pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n")
    child = ("import sys; from relayllm import cli\n"
             "cli.COMMANDS['wait'] = ('waiting', 'Wait.')\nsys.exit(cli.main(['wait']))")
    (tmp_path / "dvc").write_text(f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}", "DVC_STAGE": "wait"}
    with subprocess.Popen([sys.executable, str(tmp_path / "dvc")], env=environment) as dvc:
        pid = tmp_path / "pid"
        assert eventually(lambda: pid.is_file() and pid.read_text() != "")
        dvc.send_signal(signal.SIGKILL)
    assert eventually(lambda: not alive(int(pid.read_text())))
