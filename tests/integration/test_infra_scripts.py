"""The scripts of infra/ at work: against Prefect's and MLflow's own servers, real repositories and real DVC."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from tests.support.places import IMAGES, ROOT, environment, make_place, run
from tests.support.servers import post, server

MODEL = "models:/relay-decoder@champion"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


# deployments


def test_deployments_made_again_leave_what_a_person_set(tmp_path):
    with server(tmp_path, "/api/health", "prefect", "server", "start", "--host", "127.0.0.1", "--port", "PORT") as url:
        api = f"{url}/api"
        told = {"PREFECT_API_URL": api, "RELAY_ROOT": str(ROOT), "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
        run(tmp_path, "sh", str(IMAGES / "deployments.sh"), **told)
        made = {one["name"]: one for one in post(f"{api}/deployments/filter", {})}
        assert set(made) == {"pipeline", "release", "monitor", "gpu"}
        assert not any(one["schedules"] for one in made.values())
        assert post(f"{api}/flow_runs/filter", {}) == []
        (line,) = [line for line in (ROOT / "prefect.yaml").read_text().splitlines() if "schedule create" in line]
        words = line.strip("# ").replace('"', "").split()
        at = words.index("--cron") + 1
        run(tmp_path, *words[:at], " ".join(words[at:at + 5]), *words[at + 5:], **told)
        run(tmp_path, "prefect", "work-pool", "pause", "relay", **told)
        run(tmp_path, "sh", str(IMAGES / "deployments.sh"), **told)
        (monitor,) = [one for one in post(f"{api}/deployments/filter", {}) if one["name"] == "monitor"]
        assert [(one["active"], one["schedule"]["cron"]) for one in monitor["schedules"]] == [(True, "17 * * * *")]
        pools = post(f"{api}/work_pools/filter", {})
        assert {(pool["name"], pool["type"], pool["is_paused"]) for pool in pools} == {
            ("relay", "process", True), ("relay-gpu", "process", False)}


# await-champion


@contextmanager
def waiting(folder: Path, *command: str, **told: str) -> Iterator[subprocess.Popen[str]]:
    """The script at work, ended whatever happens."""
    words = [sys.executable, str(IMAGES / "await_champion.py"), MODEL, *command]
    with subprocess.Popen(words, env=environment(folder, RELAY_AWAIT_SECONDS="0.2", **told), stdout=subprocess.PIPE,
                          text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def heard(line: str, process: subprocess.Popen[str]) -> bool:
    """Whether it says this before it ends."""
    assert process.stdout is not None
    return any(line in said for said in process.stdout)


VERSION = """
import mlflow
client = mlflow.MlflowClient()
run = client.create_run("0").info.run_id
client.create_registered_model("relay-decoder")
client.create_model_version("relay-decoder", f"runs:/{run}/package", run)
"""
ALIAS = "import mlflow; mlflow.MlflowClient().set_registered_model_alias('relay-decoder', 'champion', '1')"


def test_server_waits_for_the_first_release_and_starts_with_it(tmp_path):
    words = ["mlflow", "server", "--host", "127.0.0.1", "--port", "PORT", "--workers", "1", "--backend-store-uri",
             f"sqlite:///{tmp_path}/mlflow.db", "--artifacts-destination", str(tmp_path / "artifacts")]
    serve = (sys.executable, "-c", "print('serving')")
    with (server(tmp_path, "/health", *words) as url,
          waiting(tmp_path, *serve, MLFLOW_TRACKING_URI=url) as process):
        assert heard("relay-decoder has no champion", process)
        run(tmp_path, sys.executable, "-c", VERSION, MLFLOW_TRACKING_URI=url)
        assert process.poll() is None  # a version without the alias is no champion
        run(tmp_path, sys.executable, "-c", ALIAS, MLFLOW_TRACKING_URI=url)
        assert heard("serving", process)
        assert process.wait(60) == 0


def test_server_that_waits_says_when_the_registry_is_down(tmp_path):
    with waiting(tmp_path, MLFLOW_TRACKING_URI="http://127.0.0.1:9") as process:
        assert heard("http://127.0.0.1:9 does not answer", process)
        assert process.poll() is None


def test_server_with_a_wrong_password_does_not_wait(tmp_path):
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(401)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refuses) as refusing:
        Thread(target=refusing.serve_forever, daemon=True).start()
        told = environment(tmp_path, MLFLOW_TRACKING_URI=f"http://127.0.0.1:{refusing.server_port}",
                           MLFLOW_TRACKING_USERNAME="ann", MLFLOW_TRACKING_PASSWORD="wrong")
        done = subprocess.run([sys.executable, str(IMAGES / "await_champion.py"), MODEL], env=told, text=True,
                              capture_output=True, timeout=60, check=False)
        refusing.shutdown()
    assert done.returncode == 1
    assert "refuses the user 'ann'" in done.stderr


def test_server_without_a_tracking_server_starts_at_once(tmp_path):
    words = (sys.executable, str(IMAGES / "await_champion.py"), MODEL, sys.executable, "-c", "print('serving')")
    assert run(tmp_path, *words) == "serving\n"


# train


@pytest.fixture(scope="module")
def upstream(tmp_path_factory) -> Path:
    """This project with the smoke profile and its data pinned, as a team commits it."""
    folder = make_place(tmp_path_factory.mktemp("upstream"))
    run(folder, sys.executable, "flows/make.py", "--ingest-only")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    run(folder, "git", "-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-qam", "change")


def prepared(volume: Path, upstream: Path, bucket: Path) -> dict[str, str]:
    """A volume after the job's init container, and what its containers are told."""
    told = {"RELAY_ROOT": str(volume), "RELAY_REPOSITORY": str(upstream), "RELAY_REVISION": "HEAD",
            "RELAY_DVC_REMOTE": str(bucket), "PYTHONPATH": str(volume / "src")}
    volume.mkdir()
    run(volume.parent, "sh", str(IMAGES / "checkout.sh"), **told)
    return told


def test_training_pushes_what_another_machine_gets_without_running_it(upstream, tmp_path):
    told = prepared(tmp_path / "job", upstream, tmp_path / "bucket")
    printed = run(tmp_path, "sh", str(IMAGES / "train.sh"), RELAY_STAGES="validate", **told)
    assert "Running stage 'validate'" in printed
    again = run(tmp_path, "sh", str(IMAGES / "train.sh"), RELAY_STAGES="validate", **told)
    assert "Running stage" not in again
    there = prepared(tmp_path / "laptop", upstream, tmp_path / "bucket")
    fetched = run(tmp_path / "laptop", "dvc", "repro", "--pull", "validate", **there)
    assert "Running stage" not in fetched
    locks = [yaml.safe_load((tmp_path / name / "dvc.lock").read_text()) for name in ("job", "laptop")]
    assert locks[0]["stages"]["validate"]["outs"] == locks[1]["stages"]["validate"]["outs"]
    assert (tmp_path / "laptop/artifacts/validate/index.html").is_file()


@pytest.mark.parametrize(("bucket", "says"), [("", "RELAY_DVC_REMOTE is empty"), ("bucket", "data.dvc pins")])
def test_training_that_is_set_up_wrong_ends_for_good(upstream, tmp_path, bucket, says):
    other = tmp_path / "other"
    shutil.copytree(upstream, other, ignore=shutil.ignore_patterns("artifacts", "data", "runs", ".store", "cache"))
    pin = (other / "data.dvc").read_text()
    (other / "data.dvc").write_text(pin.replace(pin.split("md5: ")[1][:8], "0" * 8))
    commit(other)
    told = prepared(tmp_path / "job", other, tmp_path / "bucket") | {"RELAY_DVC_REMOTE": bucket}
    done = subprocess.run(["sh", str(IMAGES / "train.sh")], env=environment(tmp_path, **told), text=True,
                          capture_output=True, timeout=300, check=False)
    assert done.returncode == 64
    assert says in done.stderr
