import io
import json
from dataclasses import replace

import pandas as pd
import pytest

from relayllm.config import load_params
from relayllm.errors import DataError
from relayllm.evaluation.analysis.call_value import COLUMNS
from relayllm.evaluation.records import write_records
from relayllm.stages.report import run
from relayllm.tracking.run import StageRun
from tests.support.make_records import make_history, make_records, write_folder
from tests.support.places import ROOT

METHODS = ("base", "relay-difficulty", "teacher")
HISTORY = "artifacts/grpo/relay-difficulty/history.json"
STEPS = "runs/steps/relay-difficulty.json"
SECONDS = [{"seconds_step": 4.0, "seconds_rollout": 2.0, "seconds_student": 1.0, "seconds_teacher": 0.5,
            "seconds_grade": 0.2, "seconds_update": 1.8, "rollout_tokens_per_second": 100.0},
           {"seconds_step": 6.0, "seconds_rollout": 3.0, "seconds_student": 2.0, "seconds_teacher": 0.5,
            "seconds_grade": 0.3, "seconds_update": 2.7, "rollout_tokens_per_second": 200.0}]


def make_project(folder, monkeypatch):
    """A project with records, metrics, histories and seconds, and no git."""
    (folder / "params.yaml").write_text((ROOT / "params/smoke.yaml").read_text())
    (folder / "data.dvc").write_text("outs:\n- md5: 0123abcd.dir\n  path: data\n")
    write_folder(folder / "artifacts/evaluate", METHODS, problems=5, benchmarks=("pens", "puzzles"))
    write_records(folder / "artifacts/evaluate/fixed-20.parquet",
                  make_records("fixed-20", problems=3, benchmarks=("pens",)))
    (folder / "artifacts/evaluate/call_value").mkdir()
    rows = [("p", 0, True, help_, help_) for help_ in (False, True)]
    pd.DataFrame(rows,
                 columns=list(COLUMNS)).to_parquet(folder / "artifacts/evaluate/call_value/relay-difficulty.parquet")
    (folder / "artifacts/evaluate/needed_tokens").mkdir()
    pd.DataFrame([("p", 0, 5, 3), ("q", 0, 5, 5)], columns=["problem_id", "place", "spent", "needed"]).to_parquet(
        folder / "artifacts/evaluate/needed_tokens/relay-difficulty.parquet")
    for path, value in ((HISTORY, make_history(20)), ("artifacts/metrics/filter.json", {"kept": 5}),
                        ("runs/seconds/warmup.json", {"seconds": 3.21}), (STEPS, SECONDS),
                        ("runs/steps/long-gone.json", SECONDS)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps(value))
    monkeypatch.setenv("RELAY_ROOT", str(folder))
    return folder


def report(project, name="report", seed=0):
    artifacts = project / "artifacts"
    params = load_params(project / "params.yaml")
    run(params.model_copy(update={"seed": seed}), records=artifacts / "evaluate", metrics_folder=artifacts / "metrics",
        report=artifacts / name)
    return artifacts / name


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield make_project(tmp_path_factory.mktemp("project"), patch)


@pytest.fixture(scope="module")
def folder(project):
    return report(project)


@pytest.fixture(scope="module")
def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def test_summary_says_where_it_comes_from(summary):
    assert (summary["profile"], summary["seed"], summary["data_md5"]) == ("smoke", 0, "0123abcd")
    assert summary["seconds"] == {"warmup": 3.2}
    assert list(summary["methods"]) == ["base", "relay-difficulty", "fixed-20", "teacher"]


@pytest.mark.slow
def test_seed_is_that_of_the_params_given_not_of_the_project_s(project):
    assert json.loads((report(project, "seventh", seed=7) / "summary.json").read_text())["seed"] == 7


def test_pages_and_pictures_lie_beside_the_summary(folder):
    assert 'class="by-teacher"' in (folder / "report.html").read_text()
    assert (folder / "report.md").read_text().startswith("# The relay recovers")
    assert (folder / "plots/learning.png").is_file()


@pytest.mark.slow
def test_money_is_counted_at_the_prices_of_the_pools_teachers(tmp_path, monkeypatch):
    project = make_project(tmp_path, monkeypatch)
    rows = make_records("relay-difficulty", problems=5, benchmarks=("pens", "puzzles"))
    write_records(project / "artifacts/evaluate/relay-difficulty.parquet",
                  [replace(row, call_teachers=["strong"] * row.calls) for row in rows])
    plain = json.loads((report(project) / "summary.json").read_text())["money"]["methods"]
    pool = project / "teachers.yaml"
    pool.write_text("teachers:\n- {name: cheap, urls: ['http://a']}\n"
                    "- {name: strong, urls: ['http://b/'], prices: {teacher: 9000}}\n")
    monkeypatch.setenv("RELAY_TEACHERS", str(pool))
    monkeypatch.setenv("RELAY_TEACHER_URL", "http://b")
    dear = json.loads((report(project, "dear") / "summary.json").read_text())["money"]["methods"]
    assert dear["base"]["cost"] == plain["base"]["cost"]
    assert dear["relay-difficulty"]["cost"] > 10 * plain["relay-difficulty"]["cost"]
    assert dear["teacher"]["cost"] > 10 * plain["teacher"]["cost"]


@pytest.mark.slow
def test_mlflow_gets_accuracy_and_price_of_every_method(project, summary, monkeypatch):
    sent = io.StringIO()
    monkeypatch.setattr("relayllm.stages.report.current", lambda: StageRun(sent))
    report(project, "tracked")
    numbers = next(line["values"] for line in map(json.loads, sent.getvalue().splitlines()) if "values" in line)
    for name, priced in summary["money"]["methods"].items():
        assert numbers[f"{name}/money/cost"] == priced["cost"]
        assert numbers[f"{name}/accuracy"] == summary["methods"][name]["average"]["accuracy"]
    assert numbers["relay-difficulty/money/read_share"] > 0


def test_what_calls_were_worth_is_told(folder):
    found = json.loads((folder / "call_value.json").read_text())
    assert found["relay-difficulty"]["help_gain"]["value"] == 1.0
    assert found["relay-difficulty"]["spent_per_needed"]["value"] == 1.25
    assert "1.25 [1.00, 1.67]" in (folder / "report.md").read_text()
    assert "What a call was worth" in (folder / "report.md").read_text()


def test_where_a_step_s_time_went_is_on_both_pages(folder):
    row = ["relay-difficulty", "5.0", "30.0", "10.0", "5.0", "45.0", "10.0", "160"]
    assert f"| {' | '.join(row)} |" in (folder / "report.md").read_text()
    assert "".join(f"<td>{cell}</td>" for cell in row) in (folder / "report.html").read_text()
    assert "long-gone" not in (folder / "report.md").read_text()


@pytest.mark.slow
def test_without_the_seconds_of_steps_their_table_is_left_out_and_the_summary_the_same(summary, tmp_path, monkeypatch):
    project = make_project(tmp_path, monkeypatch)
    (project / STEPS).unlink()
    folder = report(project)
    assert "step's time" not in (folder / "report.md").read_text()
    assert 'id="steps"' not in (folder / "report.html").read_text()
    assert json.loads((folder / "summary.json").read_text()) == summary


def test_method_that_answered_less_is_averaged_over_what_it_answered(summary):
    assert summary["methods"]["fixed-20"]["benchmarks"].keys() == {"pens"}
    assert summary["methods"]["fixed-20"]["average"]["problems"] == 3


@pytest.mark.slow
def test_same_inputs_give_the_same_report(project, folder):
    other = report(project, "other")
    for name in ("summary.json", "report.md", "report.html", "plots/pareto.png"):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.slow
def test_without_histories_learning_is_left_out(tmp_path, monkeypatch):
    project = make_project(tmp_path, monkeypatch)
    (project / HISTORY).unlink()
    folder = report(project)
    assert 'id="learning"' not in (folder / "report.html").read_text()


def test_half_a_history_is_named_and_the_old_report_kept(tmp_path, monkeypatch):
    project = make_project(tmp_path, monkeypatch)
    old = project / "artifacts/report/summary.json"
    old.parent.mkdir()
    old.write_text("old")
    (project / HISTORY).write_text("[{")
    with pytest.raises(DataError, match=r"history\.json is not JSON"):
        report(project)
    assert old.read_text() == "old"
