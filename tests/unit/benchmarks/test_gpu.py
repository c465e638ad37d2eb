"""benchmarks/gpu.sh: its parts, its file and its table."""

from __future__ import annotations

import sys
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


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "gpu.json", SETUP)


def test_part_without_time_is_late_and_one_without_its_needs_is_not_here(results):
    def missing(setup, out):
        raise NotHere("no vLLM")

    run_parts([BenchPart("vllm", "", 9, missing)], SETUP, results, seconds=60)
    run_parts([BenchPart("rows", "", 60, lambda setup, out: [sys.executable])], SETUP, results, seconds=0)
    assert {name: one["status"] for name, one in results.parts.items()} == {"vllm": "not here", "rows": "late"}


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
