"""Real signals to a real `make pipeline` in the middle of a stage: Prefect, its temporary server, DVC, the stage."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests.support.fakes_serving import eventually
from tests.support.places import environment, make_place, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WAIT = "import os, time; open('begun', 'w').write(str(os.getpid())); time.sleep(600)"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with a graph of one stage that never ends, and its data made."""
    folder = make_place(tmp_path_factory.mktemp("interrupted"))
    (folder / "wait.py").write_text(WAIT)
    stage = {"cmd": "python wait.py", "deps": ["data"], "outs": ["never"], "meta": {"prefect": {"retries": 1}}}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"wait": stage}}))
    run(folder, sys.executable, "flows/make.py", "--ingest-only")
    return folder


def begin(place: Path) -> subprocess.Popen[str]:
    """`make pipeline`, in the middle of its stage."""
    (place / "begun").unlink(missing_ok=True)
    command = subprocess.Popen([sys.executable, "flows/make.py"], cwd=place, env=environment(place), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    assert eventually(lambda: command.poll() is not None or (place / "begun").exists(), 300)
    assert command.poll() is None, command.communicate()[0]
    return command


def alive(place: Path) -> list[str]:
    """Command lines of the processes that work in the folder, tracking writers aside."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if os.readlink(process / "cwd") == str(place) and "tracking.writer" not in words:
                found.append(words)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_interrupted_pipeline_says_one_line_and_leaves_nothing_running(place, number):
    command = begin(place)
    command.send_signal(number)
    printed, _ = command.communicate(timeout=120)
    assert command.returncode == 128 + number
    said = printed.splitlines()
    assert said[-1].startswith("interrupted:")
    assert "Traceback" not in printed
    assert "ws://" not in printed
    assert eventually(lambda: not alive(place), 30), alive(place)
    with sqlite3.connect(place / ".store/prefect/prefect.db") as store:
        states = store.execute("select state_type from flow_run order by created desc limit 1").fetchall()
        left = store.execute("select name, state_type from task_run where state_type in ('RUNNING', 'PENDING')")
        assert states == [("CANCELLED",)]
        assert left.fetchall() == []


def test_pipeline_killed_outright_leaves_nothing_running(place):
    command = begin(place)
    command.kill()
    command.communicate(timeout=120)
    assert eventually(lambda: not alive(place), 60), alive(place)
