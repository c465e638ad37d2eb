"""benchmarks/gpu.sh: what fails or is late is noted, the rest goes on, and nothing is measured twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from benchmarks.gpu.parts import BenchPart, Setup
from benchmarks.gpu.results import Results
from benchmarks.gpu.running import run_parts
from tests.support.places import ROOT
from tests.support.waiting import alive, eventually

SETUP = Setup("small", "cpu", "float32", quick=True)
WRITE = "import sys, json; json.dump({'measures': {'speed': {'value': 1.5}}}, open(sys.argv[1], 'w'))"


def part(name, code, seconds=60, **more):
    """A part that runs a line of Python; its file is the first argument."""
    return BenchPart(name, "", seconds, lambda setup, out: [sys.executable, "-c", code, str(out)], **more)


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "gpu.json", SETUP)


def statuses(results):
    return {name: one["status"] for name, one in results.parts.items()}


def test_part_that_fails_is_noted_with_its_error_and_the_rest_goes_on(results):
    run_parts([part("bad", "raise SystemExit('no such device')"), part("silent", "pass"), part("rows", WRITE)], SETUP,
              results, seconds=60)
    assert statuses(results) == {"bad": "failed", "silent": "failed", "rows": "done"}
    assert "no such device" in results.parts["bad"]["error"]
    assert json.loads(results.path.read_text())["parts"]["rows"]["result"]["measures"]["speed"]["value"] == 1.5


def test_part_that_takes_too_long_ends_with_its_children_and_keeps_what_it_had(results, tmp_path):
    child = tmp_path / "child"
    code = (f"{WRITE}; import subprocess, time; one = subprocess.Popen(['sleep', '600']);"
            f"open({str(child)!r}, 'w').write(str(one.pid)); time.sleep(600)")
    run_parts([part("rows", code, seconds=10)], SETUP, results, seconds=600)
    assert results.parts["rows"]["status"] == "late"
    assert results.parts["rows"]["result"]["measures"]["speed"]["value"] == 1.5
    assert eventually(lambda: not alive(int(child.read_text())))


def test_next_run_measures_only_what_is_missing(results, tmp_path):
    count = f"open({str(tmp_path / 'runs')!r}, 'a').write('x'); {WRITE}"
    run_parts([part("rows", count), part("bad", "raise SystemExit(1)")], SETUP, results, seconds=60)
    again = Results(results.path, SETUP)
    run_parts([part("rows", count), part("bad", WRITE)], SETUP, again, seconds=60)
    assert (tmp_path / "runs").read_text() == "x"
    assert statuses(again) == {"rows": "done", "bad": "done"}


def test_machine_that_cannot_be_used_ends_the_run(results):
    run_parts([part("machine", "raise SystemExit(1)", needed=True), part("rows", WRITE)], SETUP, results, seconds=60)
    assert statuses(results) == {"machine": "failed"}


@pytest.mark.slow
def test_script_measures_on_a_cpu_from_any_folder(tmp_path):
    """The parts of decode.py are tried in test_benchmarks; here the script, and one of them."""
    done = subprocess.run(
        [ROOT / "benchmarks/gpu.sh", "--pair", "small", "--device", "cpu", "--dtype", "float32", "--quick",
         "--patience", "100", "--minutes", "600", "--only", "machine", "tests", "hand_over", "memory",
         "--json", tmp_path / "gpu.json"], cwd=tmp_path, text=True, capture_output=True,
        env={**os.environ, "PYTHON": sys.executable})
    found = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    assert {name: one["status"] for name, one in found.items()} == {
        "machine": "done", "tests": "not here", "hand_over": "done", "memory": "done"}, done.stderr
    assert done.returncode == 0
    assert "| hand_over | hand_over_far_vs_near |" in done.stdout
