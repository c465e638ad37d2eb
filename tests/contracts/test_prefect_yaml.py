"""The deployments point at flows that exist, with parameters they have."""

import importlib
import inspect
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SETTING = yaml.safe_load((ROOT / "prefect.yaml").read_text())
DEPLOYMENTS = {entry["name"]: entry for entry in SETTING["deployments"]}


@pytest.mark.parametrize("entry", DEPLOYMENTS.values(), ids=DEPLOYMENTS.keys())
def test_deployment_points_at_a_flow_with_its_parameters(entry):
    path, _, name = entry["entrypoint"].partition(":")
    assert (ROOT / path).is_file()
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    flow = getattr(module, name)
    assert set(entry.get("parameters", {})) <= set(inspect.signature(flow.fn).parameters)


def test_one_run_of_each_deployment_at_a_time_but_of_stages():
    limits = {name: entry.get("concurrency_limit", {}).get("limit") for name, entry in DEPLOYMENTS.items()}
    assert limits == {"pipeline": 1, "release": 1, "monitor": 1, "gpu": None}


def test_nothing_runs_by_itself_before_somebody_wants_it():
    assert not [name for name, entry in DEPLOYMENTS.items() if entry.get("schedules") or entry.get("schedule")]


def test_the_pool_is_the_one_the_workers_of_infra_poll():
    pools = {name: entry["work_pool"]["name"] for name, entry in DEPLOYMENTS.items()}
    assert pools == {"pipeline": "relay", "release": "relay", "monitor": "relay", "gpu": "relay-gpu"}
    assert "--pool, relay," in (ROOT / "infra/compose/compose.yaml").read_text()
    assert "for pool in relay relay-gpu" in (ROOT / "infra/images/deployments.sh").read_text()


def test_every_role_of_a_stage_has_a_deployment():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    roles = {stage.get("do", stage)["meta"]["prefect"].get("role", "") for stage in stages}
    assert roles == {"", "gpu"}
    assert all(DEPLOYMENTS[role]["entrypoint"] == "flows/stage_flow.py:stage" for role in roles - {""})


def test_the_version_is_the_pinned_one():
    assert f"prefect=={SETTING['prefect-version']}" in (ROOT / "constraints.txt").read_text().splitlines()
