"""Stages in processes of their own, and what MLflow has of them: finished, failed, killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.support.places import ROOT

STAGES = """
import os, signal, sys
from relayllm.config import load_params
from relayllm.files import write_json
from relayllm.settings import current_settings
from relayllm.tracking.run import report_metrics, stage_run
config = load_params().warmup
with stage_run("warmup", config) as run:
    report_metrics(current_settings().root / "metrics.json", {"last_loss": 0.25, "nested": {"rows": 7}})
    run.metric("curve", 1.0, 1); run.metric("curve", 0.5, 2)
    run.table("rollouts", [{"step": 1, "text": "a"}, {"step": 2, "text": "b", "extra": 1}])
    run.artifact(current_settings().root / "metrics.json")
try:
    with stage_run("grpo", config, variant="simple"):
        raise ValueError("no")
except ValueError:
    pass
with stage_run("evaluate", config) as run:
    run.metric("half", 0.5)
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder in which three stages ran: one finished, one failed, one was killed."""
    root = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "params/smoke.yaml", root / "params.yaml")
    (root / "data.dvc").write_text("outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  path: data\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "RELAY_"))}
    done = subprocess.run([sys.executable, "-c", STAGES], cwd=root, env={**environment, "RELAY_ROOT": str(root)},
                          check=False)
    assert done.returncode == -9
    settled = "from relayllm.tracking.run import flush; flush(seconds=600)"
    subprocess.run([sys.executable, "-c", settled], cwd=root, env={**environment, "RELAY_ROOT": str(root)}, check=True)
    return root


@pytest.fixture(scope="module")
def runs(project):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/.store/mlflow.db")
    experiment = client.get_experiment_by_name("relayllm")
    return {run.data.tags["stage"]: run for run in client.search_runs([experiment.experiment_id])}, client


@pytest.mark.slow
def test_stages_nest_under_one_pipeline_run(runs):
    found, _ = runs
    assert set(found) == {"pipeline", "warmup", "grpo", "evaluate"}
    parent = found["pipeline"].info.run_id
    assert {found[name].data.tags["mlflow.parentRunId"] for name in ("warmup", "grpo", "evaluate")} == {parent}


@pytest.mark.slow
def test_run_says_how_its_stage_ended(runs):
    found, _ = runs
    assert {name: found[name].info.status for name in ("warmup", "grpo", "evaluate")} == {
        "warmup": "FINISHED", "grpo": "FAILED", "evaluate": "KILLED"}


@pytest.mark.slow
def test_run_carries_numbers_params_tags_and_the_data_set(runs):
    found, client = runs
    run = found["warmup"]
    assert {name: run.data.metrics[name] for name in ("last_loss", "nested/rows", "curve")} == {
        "last_loss": 0.25, "nested/rows": 7.0, "curve": 0.5}
    assert [point.step for point in client.get_metric_history(run.info.run_id, "curve")] == [1, 2]
    assert run.data.params["learning_rate"] == "0.002"
    assert run.data.tags["profile"] == "smoke"
    assert found["grpo"].data.tags["variant"] == "simple"
    [given] = run.inputs.dataset_inputs
    assert given.dataset.digest == "0123456789abcdef0123456789abcdef"
    files = {entry.path for entry in client.list_artifacts(run.info.run_id)}
    assert {"metrics.json", "tables"} <= files


@pytest.mark.slow
def test_seconds_are_noted_apart_from_what_dvc_hashes(project):
    assert {path.name for path in (project / "runs/seconds").iterdir()} == {"warmup.json"}
    assert "seconds" not in (project / "metrics.json").read_text()
