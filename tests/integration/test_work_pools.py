"""The pipeline over two work pools: a Prefect server, a worker for each, and stages that say who ran them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.places import IMAGES, environment, make_place, run
from tests.support.servers import post, server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
GRAPH = """
stages:
  first: {cmd: python who.py first, deps: [data], outs: [who/first], meta: {prefect: {retries: 0}}}
  hard: {cmd: python who.py hard, deps: [who/first, kind.txt], outs: [who/hard],
         meta: {prefect: {retries: 0, role: gpu}}}
  last: {cmd: python who.py last, deps: [who/hard], outs: [who/last], meta: {prefect: {retries: 0}}}
"""
WHO = """
import os, pathlib, sys
if sys.argv[1] == "hard" and "bad" in open("kind.txt").read():
    sys.exit("relay: ConfigError: the kind is bad")
pathlib.Path("who").mkdir(exist_ok=True)
pathlib.Path("who", sys.argv[1]).write_text(os.environ["WHO"])
"""


@contextmanager
def worker(place: Path, pool: str, **told: str) -> Iterator[None]:
    """A worker of a pool, with all that it started."""
    with (place / f"{pool}.log").open("wb") as log:
        process = subprocess.Popen(["prefect", "worker", "start", "--pool", pool, "--type", "process"], cwd=place,
                                   env=environment(place, **told), stdout=log, stderr=log, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:  # a worker that is asked to go while it polls may wait for ever
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(60)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """Runs the deployment of the pipeline; returns its exit code and what it said."""
    place = make_place(tmp_path_factory.mktemp("pools") / "project")
    for name, text in {"dvc.yaml": GRAPH, "who.py": WHO, "kind.txt": "good"}.items():
        (place / name).write_text(text)
    words = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", "PORT"]
    with ExitStack() as stack:
        url = stack.enter_context(server(tmp_path_factory.mktemp("server"), "/api/health", *words))
        told = {"PREFECT_API_URL": f"{url}/api", "RELAY_ROOT": str(place),
                "PYTHONPATH": f"{place / 'src'}{os.pathsep}{place}"}
        run(place, "sh", str(IMAGES / "deployments.sh"), **told)
        stack.enter_context(worker(place, "relay", WHO="a machine", RELAY_ROLES="gpu", **told))
        stack.enter_context(worker(place, "relay-gpu", WHO="a machine with a GPU", **told))

        def deployed() -> tuple[int, str]:
            done = subprocess.run(["prefect", "deployment", "run", "pipeline/pipeline", "--watch"], cwd=place,
                                  env=environment(place, **told), capture_output=True, text=True, timeout=300)
            return done.returncode, done.stdout + done.stderr + (place / "relay.log").read_text()

        deployed.place, deployed.told = place, told
        yield deployed


INTERRUPTED = """
import threading
from flows import elsewhere, processes
from relayllm.errors import StageError
begun, faults = threading.Event(), []

def stage():
    try:
        elsewhere.run_elsewhere("gpu", "hard", lambda line: begun.set())
    except StageError as error:
        faults.append(error)

thread = threading.Thread(target=stage)
try:
    with processes.ended_together():
        thread.start()
        assert begun.wait(60)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    thread.join(60)
print("FAULT", *faults)
"""
MISSING = """
from flows.elsewhere import run_elsewhere
try:
    run_elsewhere("huge", "hard", print)
except Exception as error:
    print("FAULT", type(error).__name__, error)
"""


def test_stages_run_in_the_pool_of_their_role_and_faults_come_back(pipeline):
    code, said = pipeline()
    assert code == 0, said[-3000:]
    assert {path.name: path.read_text() for path in (pipeline.place / "who").glob("[!.]*")} == {
        "first": "a machine", "hard": "a machine with a GPU", "last": "a machine"}
    (pipeline.place / "kind.txt").write_text("bad")
    code, said = pipeline()
    assert code != 0
    assert "failed in the work pool of gpu" in said
    assert "ConfigError: the kind is bad" in said


def test_run_elsewhere_is_cancelled_with_the_pipeline(pipeline):
    run(pipeline.place, "prefect", "work-pool", "pause", "relay-gpu", **pipeline.told)
    said = run(pipeline.place, sys.executable, "-c", INTERRUPTED, **pipeline.told)
    assert "FAULT hard was interrupted" in said
    runs = post(f"{pipeline.told['PREFECT_API_URL']}/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC"})
    assert runs[0]["state_name"] == "Cancelled"


def test_role_without_a_deployment_is_said_with_the_remedy(pipeline):
    said = run(pipeline.place, sys.executable, "-c", MISSING, **pipeline.told)
    assert "FAULT StageError RELAY_ROLES" in said
    assert "prefect deploy --all" in said
