"""The whole pipeline at its smallest size, as `make smoke` and `make pipeline` run it, in a folder of its own."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from flows.dvc_stages import read_plan
from relayllm.tracking.provenance import file_hash
from tests.support.places import make_place, run, run_killed

CHECKPOINT = "runs/grpo/relay-difficulty/checkpoint-4/whole.json"
"""GRPO's second of two: the one before is whole when this is written."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git tracks, with the smoke profile, after one run of the flow."""
    folder = make_place(tmp_path_factory.mktemp("smoke"))
    (folder / "printed.txt").write_text(run(folder, sys.executable, "flows/make.py"))
    return folder


def test_pipeline_prints_the_table_and_where_to_look(place: Path):
    printed = (place / "printed.txt").read_text()
    for expected in ("relay-difficulty", "average", "call %", "report.html", "make ui", "relay promote"):
        assert expected in printed


def test_model_that_solves_nothing_stays_candidate(place: Path):
    for printed in ((place / "printed.txt").read_text(), run(place, sys.executable, "flows/make.py")):
        assert "version 1 stays candidate: floor: 0.0 % solved" in printed


def test_summary_has_the_contract_s_shape(place: Path):
    summary = json.loads((place / "artifacts/report/summary.json").read_text())
    assert summary["profile"] == "smoke"
    assert summary["seed"] == 0
    assert re.fullmatch(r"[0-9a-f]{40}-dirty", summary["git_commit"])  # the smoke profile is not what was committed
    assert summary["params_md5"] == file_hash(place / "params.yaml")
    assert summary["data_md5"]
    assert {"base", "teacher", "warmup", "relay-difficulty", "teacher-free"} <= set(summary["methods"])
    for method in summary["methods"].values():
        assert len(method["benchmarks"]) == 6
        for score in [method["average"], *method["benchmarks"].values()]:
            low, high = score["accuracy_ci"]
            assert 0 <= low <= score["accuracy"] <= high <= 1
            assert {"call_ratio", "problems", "completion_tokens", "calls_per_answer"} <= set(score)
    assert {"value", "ci"} <= set(summary["gap_recovered"])
    assert "grpo-relay-difficulty" in summary["seconds"]


def test_report_is_one_page_that_needs_no_network(place: Path):
    page = (place / "artifacts/report/report.html").read_text()
    assert "<html" in page
    assert 'src="http' not in page
    assert 'href="http' not in page.replace('href="https://arxiv.org', "")


def test_registry_shows_version_metrics_data_set_and_alias(place: Path):
    code = """
import json, mlflow
from relayllm.settings import current_settings
client = mlflow.MlflowClient(current_settings().tracking_uri, current_settings().registry_uri)
model = client.get_registered_model("relay-decoder")
version = client.get_model_version("relay-decoder", model.aliases["candidate"])
runs = client.search_runs([client.get_experiment_by_name("relayllm").experiment_id], max_results=100)
stages = {run.data.tags.get("stage"): run for run in runs}
print("RESULT" + json.dumps({"version": int(version.version), "stages": sorted(filter(None, stages)),
    "nested": all("mlflow.parentRunId" in run.data.tags for name, run in stages.items()
                  if name not in (None, "pipeline")),
    "data": [given.dataset.digest for given in stages["evaluate"].inputs.dataset_inputs],
    "metrics": stages["evaluate"].data.metrics}))
"""
    found = json.loads(run(place, sys.executable, "-c", code).split("RESULT")[1])
    assert found["version"] == 1
    assert {"pipeline", "ingest", "base_models", "filter", "warmup", "grpo", "evaluate", "report", "package"} <= set(
        found["stages"])
    assert found["nested"]
    pin = (place / "data.dvc").read_text()
    assert found["data"]
    assert all(digest in pin for digest in found["data"])
    assert "relay-difficulty/accuracy" in found["metrics"]


def test_second_run_by_either_door_finds_nothing_to_do(place: Path):
    lock = (place / "dvc.lock").read_bytes()
    for words in ((sys.executable, "flows/make.py"), ("dvc", "repro")):
        printed = run(place, *words, timeout=120)
        assert "up to date" in printed
        assert (place / "dvc.lock").read_bytes() == lock


def test_run_changes_no_file_that_git_tracks_but_the_profile_s_own(place: Path):
    changed = run(place, "git", "status", "--porcelain").splitlines()
    assert sorted(changed) == [" M data.dvc", " M params.yaml", "?? dvc.lock", "?? printed.txt"]


def test_dvc_shows_every_picture_and_leaves_nothing_for_git(place: Path):
    before = run(place, "git", "status", "--porcelain")
    assert "failed to load" not in run(place, "dvc", "plots", "show")
    shown = {path.name for path in (place / "dvc_plots/static").iterdir()}
    asked = [path for path in yaml.safe_load((place / "dvc.yaml").read_text())["plots"] if isinstance(path, str)]
    assert {f"workspace_{path.replace('/', '_')}" for path in asked} <= shown
    assert run(place, "git", "status", "--porcelain") == before


def test_experiments_as_the_docs_show_them_fit_a_screen(place: Path):
    docs = (place / "docs/pipeline.md").read_text().splitlines()
    (line,) = [line for line in docs if line.startswith("dvc exp show ")]
    printed = run(place, *shlex.split(line), "--no-pager", COLUMNS="1000")
    assert "relay-difficulty.accuracy" in printed
    assert max(map(len, printed.splitlines())) <= 120


SECOND_RUN = "  runs:\n    second: {reward: {name: simple, independence_bonus: 0, exploration: false}, max_calls: 4}\n"


@pytest.mark.parametrize(("was", "becomes", "stages"), [
    ("  examples: 2", "  examples: 3", {"report"}), ("  bootstrap: 200", "  bootstrap: 300", {"report"}),
    ("  runs:\n", SECOND_RUN, {"grpo@second"}), ("  kl: 0.", "  kl: 1.", {"grpo@relay-difficulty"})])
def test_changed_parameter_reruns_only_what_depends_on_it(place: Path, was: str, becomes: str, stages: set[str]):
    params = place / "params.yaml"
    before = params.read_text()
    assert before.count(was) == 1
    params.write_text(before.replace(was, becomes))
    try:
        changed = json.loads(run(place, "dvc", "status", "--json"))
        assert set(changed) == stages
    finally:
        params.write_text(before)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another folder, where every stage was killed before it was done, and GRPO in the middle of training, too."""
    folder = make_place(tmp_path_factory.mktemp("killed"))
    ingest = ("relay", "ingest", "--data", "data")
    run_killed(folder, folder / "data", *ingest)
    assert not (folder / "data").exists()
    run(folder, *ingest)
    run(folder, "dvc", "add", "--quiet", "data")
    for stage in read_plan(folder).stages:
        middle = [CHECKPOINT] if stage.name.startswith("grpo") else []
        for last in [*middle, stage.outputs[-1]]:
            printed = run_killed(folder, folder / last, "dvc", "repro", stage.name)
            assert not (folder / last).exists()
            (folder / "runs/printed.txt").open("a").write(f"KILLED {stage.name}\n{printed}")
    run(folder, "dvc", "repro")
    return folder


def hashes(place: Path) -> dict[str, str]:
    """The hash of every output, by its path."""
    lock = yaml.safe_load((place / "dvc.lock").read_text())
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def test_stages_killed_in_the_middle_end_with_the_same_bytes(place: Path, killed: Path):
    wanted, found = hashes(place), hashes(killed)
    assert {name for name in wanted if found.get(name) != wanted[name]} <= {"artifacts/report"}
    assert not list(killed.glob("artifacts/**/.*.part"))


def test_killed_training_goes_on_from_its_checkpoint(killed: Path):
    first, second = (part for part in (killed / "runs/printed.txt").read_text().split("KILLED ")
                     if part.startswith("grpo"))
    assert "step 1: held out" in first
    assert "step 1: held out" not in second
    assert "step 2: held out" in second
    assert not list((killed / "runs/grpo").iterdir())  # closed once everything is written


def test_summary_of_the_same_seed_is_the_same_but_for_the_seconds(place: Path, killed: Path):
    summaries = [json.loads((folder / "artifacts/report/summary.json").read_text()) for folder in (place, killed)]
    seconds = [summary.pop("seconds") for summary in summaries]
    assert summaries[0] == summaries[1]
    assert set(seconds[0]) - {"ingest"} == set(seconds[1]) - {"ingest"}
