"""`make pipeline` when things go wrong: real signals, a stage that fails, servers that are away.

Prefect, its temporary server, DVC and the stage are real; the graph is one stage long.
"""

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

from relayllm.processes import free_port
from tests.support.places import environment, make_place, run
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WAIT = "import os, time; open('begun', 'w').write(str(os.getpid())); time.sleep(600)"


FAIL = """
with open("tries", "a") as tries:
    tries.write("x")
print("relay: DataError: data/train.jsonl, row 3: no answer")
print("a launcher's last words")
raise SystemExit(1)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with its data made."""
    folder = make_place(tmp_path_factory.mktemp("project"))
    (folder / "wait.py").write_text(WAIT)
    (folder / "fail.py").write_text(FAIL)
    run(folder, sys.executable, "flows/make.py", "--ingest-only")
    return folder


def with_stage(project: Path, script: str) -> Path:
    """The project with a graph of one stage, tried twice."""
    stage = {"cmd": f"python {script}.py", "deps": ["data"], "outs": ["never"], "meta": {"prefect": {"retries": 1}}}
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": {script: stage}}))
    return project


@pytest.fixture
def place(project: Path) -> Path:
    """Its stage never ends."""
    return with_stage(project, "wait")


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


def asked(place: Path, query: str) -> list[tuple[str, ...]]:
    """What Prefect's store says."""
    with sqlite3.connect(place / ".store/prefect/prefect.db") as store:
        return store.execute(query).fetchall()


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
    assert asked(place, "select state_type from flow_run order by created desc limit 1") == [("CANCELLED",)]
    assert asked(place, "select name, state_type from task_run where state_type in ('RUNNING', 'PENDING')") == []


def test_pipeline_killed_outright_leaves_nothing_running(place):
    command = begin(place)
    command.kill()
    command.communicate(timeout=120)
    assert eventually(lambda: not alive(place), 60), alive(place)


def make(place: Path, **more: str) -> tuple[int, str]:
    """Exit code and output of `make pipeline`."""
    done = subprocess.run([sys.executable, "flows/make.py"], cwd=place, env=environment(place, **more), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600, check=False)
    return done.returncode, done.stdout


def test_stage_that_cannot_heal_is_tried_once_and_its_state_begins_with_the_reason(project):
    code, printed = make(with_stage(project, "fail"))
    assert code == 1
    assert (project / "tries").read_text() == "x"
    assert "StageError: fail failed: DataError: data/train.jsonl, row 3: no answer" in printed.splitlines()
    [(said,)] = asked(project, "select s.message from task_run_state s join task_run t on t.state_id = s.id "
                               "where t.name = 'fail'")
    assert "StageError: fail failed: DataError" in said


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "RELAY_PARAMS"])
def test_pipeline_that_cannot_begin_says_why_in_one_line(place, name):
    address = f"http://127.0.0.1:{free_port()}/api" if name == "PREFECT_API_URL" else "elsewhere.yaml"
    code, printed = make(place, **{name: address})
    assert code == 1
    [line] = [line for line in printed.splitlines() if not line.startswith("WARNING")]
    assert line.startswith(f"ConfigError: {name} is ")
