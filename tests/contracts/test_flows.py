"""What flows/ may know: DVC's graph by reading it, no stage by name, no training code."""

import ast
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from flows import dvc_stages, processes
from flows.monitor_flow import conclude
from flows.stage_flow import reproduced
from relayllm.commands.pool_note import note_pool, pool_digests
from relayllm.errors import StageError
from relayllm.registry.client import Version
from relayllm.registry.comparison import GateResult
from relayllm.settings import current_settings

ROOT = Path(__file__).resolve().parents[2]
FLOWS = sorted((ROOT / "flows").glob("*.py"))
STAGES = set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.name)
def test_flow_names_no_stage(path):
    constants = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
    keys = {word.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
            for keyword in node.keywords if keyword.arg == "key" and isinstance(word := keyword.value, ast.Constant)}
    assert not (constants - keys) & STAGES


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.name)
def test_flow_file_shadows_no_library(path):
    assert path.stem not in sys.stdlib_module_names | {"prefect", "dvc", "mlflow", "evaluate", "datasets"}


@pytest.mark.parametrize("path", FLOWS, ids=lambda path: path.name)
def test_flow_imports_neither_stages_nor_training(path):
    words = path.read_text()
    assert "relayllm.stages" not in words
    assert "relayllm.training" not in words


def test_dvc_is_touched_in_one_module_only():
    users = {path.name for path in FLOWS if re.search(r"^\s*(from|import) dvc\b", path.read_text(), re.M)}
    assert users == {"dvc_stages.py"}


@pytest.fixture
def project(tmp_path):
    """Three stages on a made-up file; `two` and `three` need `one`."""
    (tmp_path / "in.txt").write_text("1")
    copy = "python -c \"import sys,shutil; shutil.copy(*sys.argv[1:])\""
    (tmp_path / "dvc.yaml").write_text(f"""
stages:
  three: {{cmd: '{copy} one.txt three.txt', deps: [one.txt], outs: [three.txt]}}
  one: {{cmd: '{copy} in.txt one.txt', deps: [in.txt], outs: [one.txt], meta: {{prefect: {{retries: 2, tags: [a]}}}}}}
  two: {{cmd: 'false', deps: [one.txt], outs: [two.txt]}}
""")
    for words in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(words, cwd=tmp_path, check=True)
    return tmp_path


def test_plan_orders_stages_and_reads_what_the_flow_adds(project):
    plan = dvc_stages.read_plan(project)
    names = [stage.name for stage in plan.stages]
    assert names.index("one") < min(names.index("two"), names.index("three"))
    one = plan.stages[names.index("one")]
    assert (one.retries, one.tags, one.outputs) == (2, ("a",), ("one.txt",))
    assert plan.stages[names.index("three")].needs == ("one",)
    assert plan.changed == {"one", "two", "three"}


def test_reproduce_runs_one_stage_and_leaves_it_up_to_date(project):
    dvc_stages.reproduce(project, "one", lambda line: None)
    assert not dvc_stages.is_changed(project, "one")
    assert dvc_stages.read_plan(project).changed == {"two", "three"}
    (project / "in.txt").write_text("2")
    assert dvc_stages.read_plan(project).changed == {"one", "two", "three"}


def test_stage_that_ran_with_another_pool_of_teachers_is_run_again_though_no_file_of_dvcs_changed(
        project, monkeypatch):
    graph = yaml.safe_load((project / "dvc.yaml").read_text())
    del graph["stages"]["two"]
    graph["stages"]["one"]["meta"]["prefect"]["teachers"] = ["answers"]
    (project / "dvc.yaml").write_text(yaml.safe_dump(graph))
    for name, value in (("RELAY_ROOT", project), ("RELAY_RUNS", project / "runs"), ("RELAY_TEACHERS", "")):
        monkeypatch.setenv(name, str(value))
    for name in ("one", "three"):
        dvc_stages.reproduce(project, name, lambda line: None)
    note_pool(current_settings(), "one", pool_digests(current_settings()))
    assert not dvc_stages.read_plan(project).changed
    pool = project / "teachers.yaml"
    pool.write_text("teachers: [{name: big, urls: ['http://a']}]")
    monkeypatch.setenv("RELAY_TEACHERS", str(pool))
    assert dvc_stages.read_plan(project).changed == {"one", "three"}
    before = (project / "one.txt").stat().st_mtime_ns
    reproduced(project, "one", lambda line: None)
    assert (project / "one.txt").stat().st_mtime_ns != before
    note_pool(current_settings(), "one", pool_digests(current_settings()))
    pool.write_text("teachers: [{name: big, urls: ['http://a'], prices: {teacher: 2}}]")
    assert not dvc_stages.read_plan(project).changed


def test_reproduce_failing_stage_carries_its_last_lines(project):
    dvc_stages.reproduce(project, "one", lambda line: None)
    with pytest.raises(StageError, match=r"^two failed: .*exited with 1\n"):
        dvc_stages.reproduce(project, "two", lambda line: None)


def test_plan_while_dvc_is_at_work_says_so(project, monkeypatch):
    look = "python -c \"from flows.dvc_stages import read_plan; read_plan('.')\""
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"one": {"cmd": look, "outs": ["one.txt"]}}}))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'src'}")
    with pytest.raises(StageError, match="another DVC is at work"):
        dvc_stages.reproduce(project, "one", lambda line: None)


def test_interrupt_ends_what_other_threads_run_and_nothing_is_started_again():
    begun, faults = threading.Event(), []
    words = [sys.executable, "-c", "import time; print('on', flush=True); time.sleep(60)"]

    def stage():
        try:
            processes.run(words, ROOT, "slow", lambda line: begun.set())
        except StageError as error:
            faults.append(error)

    def flow():
        with processes.ended_together():
            thread.start()
            assert begun.wait(60)
            raise KeyboardInterrupt

    thread = threading.Thread(target=stage)
    with pytest.raises(KeyboardInterrupt):
        flow()
    thread.join(60)
    assert len(faults) == 1
    with pytest.raises(StageError, match="interrupted"):
        processes.run(words, ROOT, "slow", print)
    with processes.ended_together():
        processes.run([sys.executable, "-c", ""], ROOT, "quick", print)


FINE, BAD = GateResult("call_ratio", True, "as recorded"), GateResult("accuracy", False, "-40.0 points")
ALONE = GateResult("degraded", False, "all of them")


@pytest.mark.parametrize(("act", "found", "before", "name", "rolls"), [
    ("warn", [FINE], "1", "Completed", 0), ("warn", [FINE, BAD], "1", "Failed", 0),
    ("rollback", [FINE], "1", "Completed", 0), ("rollback", [FINE, BAD], "1", "RolledBack", 1),
    ("rollback", [FINE, BAD, ALONE], "1", "RolledBack", 1), ("rollback", [FINE, ALONE], "1", "Failed", 0),
    ("rollback", [FINE, BAD], "", "Failed", 0)])
def test_monitor_acts_by_setting_where_going_back_could_help(act, found, before, name, rolls):
    given_back: list[str] = []
    champion = Version("relay-decoder", 2, "m-2", "r", {"replaces": before}, ("champion",))
    state = conclude(champion, found, act, lambda version, because: given_back.append(because))
    assert (state.name, len(given_back)) == (name, rolls)
