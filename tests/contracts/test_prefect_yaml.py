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


def test_one_run_of_each_deployment_at_a_time():
    assert all(entry["concurrency_limit"]["limit"] == 1 for entry in DEPLOYMENTS.values())


def test_nothing_runs_by_itself_before_somebody_wants_it():
    assert not [name for name, entry in DEPLOYMENTS.items() if entry.get("schedules") or entry.get("schedule")]


def test_the_pool_is_the_one_the_workers_of_infra_poll():
    pools = {entry["work_pool"]["name"] for entry in DEPLOYMENTS.values()}
    assert pools == {"relay"}
    assert "--pool, relay" in (ROOT / "infra/compose/compose.yaml").read_text()
    assert "create relay --type process" in (ROOT / "infra/images/deployments.sh").read_text()


def test_the_version_is_the_pinned_one():
    assert f"prefect=={SETTING['prefect-version']}" in (ROOT / "constraints.txt").read_text().splitlines()
