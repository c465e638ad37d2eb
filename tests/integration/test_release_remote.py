"""The whole release, the registry's commands and `relay serve` against a real `mlflow server`, each in its own process.

The server hands files out itself, as infra/compose and infra/kubernetes have it: nothing of it lies in the project.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

from relayllm.processes import free_port
from tests.support.mlflow_server import mlflow_server
from tests.support.places import ROOT, environment
from tests.support.real_packages import varied
from tests.support.serve_process import address_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
RELEASE = "import sys; from flows.release_flow import release; release(sys.argv[1])"
STATUS = "from flows.release_note import last_release; print(last_release())"
STAGE = """
import sys
from relayllm.tracking.run import flush, report_metrics, stage_run
from relayllm.settings import current_settings
root = current_settings().root
with stage_run("filter", {"samples": 3}) as run:
    report_metrics(root / "metrics.json", {"kept": 7})
    run.metric("curve", 0.5, 2)
    run.artifact(root / "metrics.json")
flush()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with mlflow_server(tmp_path_factory.mktemp("tracking")) as address:
        yield address


def team(settings, address):
    """The environment of somebody who works with that server."""
    return environment(settings.root, MLFLOW_TRACKING_URI=address, RELAY_ROOT=str(settings.root), OMP_NUM_THREADS="1",
                       PYTHONPATH=f"{ROOT}:{ROOT / 'src'}", HOME=str(settings.root))


def run(settings, address, *words, code=0):
    done = subprocess.run([sys.executable, *words], cwd=settings.root, env=team(settings, address), text=True,
                          check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    assert done.returncode == code, done.stdout[-6000:]
    return done.stdout


def relay(settings, address, *words, code=0):
    return run(settings, address, "-m", "relayllm.cli", *words, code=code)


@contextmanager
def served(settings, address):
    words = [sys.executable, "-m", "relayllm.cli", "serve", "--port", "0"]
    running = subprocess.Popen(words, cwd=settings.root, env=team(settings, address), stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    try:
        with httpx.Client(base_url=address_of(running), timeout=60, trust_env=False) as client:
            yield client
    finally:
        running.kill()
        running.wait()


def test_release_compare_serve_and_rollback_of_a_remote_registry(parts, settings, package, server):
    assert "version 1 is champion" in run(settings, server, "-c", RELEASE, "artifacts/package")
    varied(parts, settings, "better", 8)
    assert "version 2 is champion" in run(settings, server, "-c", RELEASE, "better")
    assert "done=True" in run(settings, server, "-c", STATUS)

    [kept] = [path for path in (settings.root / ".store/packages").iterdir() if (path / "MLmodel").is_file()][:1]
    nested = kept.with_name("nested")
    kept.rename(nested)
    kept.mkdir()
    nested.rename(kept / "artifacts")  # as a release before this one left it
    assert "Version 2 (champion) against version 1" in relay(settings, server, "compare", "1", "2")

    with served(settings, server) as client:
        asked = {"messages": [{"role": "user", "content": "How many pens?"}], "max_tokens": 8}
        assert client.post("/v1/chat/completions", json=asked).json()["relay"]["version"] == "2"

    assert "champion is version 1" in relay(settings, server, "rollback", "--because", "by a test")
    said = run(settings, server, "-c", STATUS)
    assert "version 2 was rolled back (by a test); champion is version 1" in said


def test_release_without_its_server_says_which_and_does_not_wait_for_it(settings, package):
    printed = run(settings, f"http://127.0.0.1:{free_port()}", "-c", RELEASE, "artifacts/package", code=1)
    assert "RegistryError: the registry is http://127.0.0.1" in printed


def test_stage_whose_server_is_away_is_sent_later(settings, tmp_path):
    shutil.rmtree(settings.root / "runs/unsent", ignore_errors=True)
    away = f"http://127.0.0.1:{free_port()}"
    run(settings, away, "-c", STAGE)
    assert len(list((settings.root / "runs/unsent").iterdir())) == 1
    assert "nobody answers there" in relay(settings, away, "sync", code=1)
    (settings.root / "metrics.json").write_text("{}")
    with mlflow_server(tmp_path / "tracking") as address:
        assert "nothing is left" in relay(settings, address, "sync")
        assert not list((settings.root / "runs/unsent").iterdir())
        look = """
import json, mlflow
client = mlflow.MlflowClient()
runs = {run.data.tags["stage"]: run for run in
        client.search_runs([client.get_experiment_by_name("relayllm").experiment_id])}
found = runs["filter"]
file = client.download_artifacts(found.info.run_id, "metrics.json")
print("RESULT" + json.dumps([found.info.status, found.data.metrics["kept"], found.data.metrics["curve"],
      found.data.params, json.load(open(file)), found.data.tags["mlflow.parentRunId"] == runs["pipeline"].info.run_id]))
"""
        found = json.loads(run(settings, address, "-c", look).split("RESULT")[1])
    assert found == ["FINISHED", 7.0, 0.5, {"samples": "3"}, {"kept": 7}, True]
