"""benchmarks/gpu.sh: what fails or is late is noted, the rest goes on, and nothing is measured twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import models
from benchmarks.gpu.parts import BenchPart, NotHere, Setup, parts_of
from benchmarks.gpu.results import Results
from benchmarks.gpu.running import run_parts
from benchmarks.gpu.table import table
from relayllm.engines.checkpoints.model_shapes import PUBLISHED

ROOT = Path(__file__).parents[3]
SETUP = Setup("small", "cpu", "float32", quick=True)
MEASURE = {"value": 1.5, "goal": 1.0, "at_most": False, "reached": True, "what": "speed",
           "details": {"tokens_per_second": {"1": 20.0, "32": 400.0}}}
WRITE = f"import sys, json; json.dump({{'measures': {{'speed': {MEASURE}}}}}, open(sys.argv[1], 'w'))"


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
    assert not alive(int(child.read_text()))


def alive(process):
    """Whether it still runs, after a moment to end in."""
    for _ in range(100):
        try:
            if Path(f"/proc/{process}/stat").read_text().split()[2] == "Z":
                return False
        except OSError:
            return False
        time.sleep(0.05)
    return True


def test_next_run_measures_only_what_is_missing(results, tmp_path):
    count = f"open({str(tmp_path / 'runs')!r}, 'a').write('x'); {WRITE}"
    run_parts([part("rows", count), part("bad", "raise SystemExit(1)")], SETUP, results, seconds=60)
    again = Results(results.path, SETUP)
    run_parts([part("rows", count), part("bad", WRITE)], SETUP, again, seconds=60)
    assert (tmp_path / "runs").read_text() == "x"
    assert statuses(again) == {"rows": "done", "bad": "done"}


def test_part_without_time_is_late_and_one_without_its_needs_is_not_here(results):
    def missing(setup, out):
        raise NotHere("no vLLM")

    run_parts([BenchPart("vllm", "", 9, missing)], SETUP, results, seconds=60)
    run_parts([part("rows", WRITE)], SETUP, results, seconds=0)
    assert statuses(results) == {"vllm": "not here", "rows": "late"}


def test_machine_that_cannot_be_used_ends_the_run(results):
    run_parts([part("machine", "raise SystemExit(1)", needed=True), part("rows", WRITE)], SETUP, results, seconds=60)
    assert statuses(results) == {"machine": "failed"}


def test_file_of_another_set_up_is_refused(results):
    results.keep("rows", "done")
    with pytest.raises(SystemExit, match="--json"):
        Results(results.path, Setup("gpu", "cuda", "bfloat16"))


def test_table_has_measures_speeds_and_what_is_missing(results):
    results.keep("tests", "done", result={"tests": 5, "failures": 1, "errors": 0, "skipped": 1, "failed": {}})
    for name in ("rows", "vllm"):
        results.keep(name, "done", result={"measures": {"speed": MEASURE}})
    results.keep("memory", "failed", error="exit code 1\nOutOfMemoryError")
    text = table(results)
    assert "| rows | speed | >= 1.0 | 1.500 |" in text
    assert "passed of 5, 1 skipped | | 3 |" in text
    assert "| vllm | 20 | 400 |" in text
    assert "memory: failed: OutOfMemoryError" in text


def test_parts_fit_into_half_an_hour_and_have_a_name_each():
    parts = parts_of(SETUP)
    assert sum(one.seconds for one in parts) <= 1860
    assert len({one.name for one in parts}) == len(parts)


@pytest.mark.parametrize(("shape", "name"), [(models.GPU.student, "Qwen/Qwen3-0.6B"),
                                             (models.GPU.teacher, "Qwen/Qwen3-8B")])
def test_shapes_for_a_gpu_are_the_published_ones(shape, name):
    known = PUBLISHED[name]
    assert (shape.width, shape.layers, shape.heads, shape.kv_heads, shape.head_dim, shape.inner) == (
        known.hidden, known.layers, known.heads, known.kv_heads, known.head_size, known.intermediate)
    assert models.GPU.words + 14 <= known.vocabulary < models.GPU.words + 100


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
