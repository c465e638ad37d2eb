"""`relay plan`: counts by hand, sizes against the published ones, no network and no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from relayllm.cli import main
from relayllm.commands.model_shapes import QWEN3, activation_bytes, shape_of, zero_bytes
from relayllm.commands.plan import GPUS, Speeds, decode_speed, decoding_memory, plan_work, training_memory
from relayllm.config import HubModel, load_params
from relayllm.errors import ConfigError

ROOT = Path(__file__).parents[3]
H100 = GPUS["h100"]


def params(name="qwen3-1.7b"):
    return load_params(ROOT / "params" / f"{name}.yaml")


@pytest.mark.parametrize(("name", "parameters"), [
    ("0.6B", 596_049_920), ("1.7B", 1_720_574_976), ("4B", 4_022_468_096), ("8B", 8_190_735_360),
    ("14B", 14_768_307_200)])
def test_shape_has_the_published_number_of_parameters(name, parameters):
    assert QWEN3[f"Qwen/Qwen3-{name}"].parameters == parameters


def test_shape_of_an_unknown_model_is_an_error_that_says_where_to_add_it():
    with pytest.raises(ConfigError, match=r"no shape of some/model.*model_shapes"):
        shape_of(HubModel(id="some/model", revision="main"))


def test_cache_of_qwen3_8b_takes_144_kib_a_token():
    assert QWEN3["Qwen/Qwen3-8B"].cache_bytes("bfloat16") == 144 * 1024


@pytest.mark.parametrize(("stage", "per_parameter"), [(0, 16), (1, 4 + 12 / 8), (2, 2 + 14 / 8), (3, 16 / 8)])
def test_zero_shares_states_then_gradients_then_weights(stage, per_parameter):
    assert zero_bytes(1000, stage, 8, "bfloat16") == 1000 * per_parameter


@pytest.mark.parametrize("stage", range(4))
def test_zero_on_one_process_shares_nothing(stage):
    assert zero_bytes(1000, stage, 1, "float32") == 16_000


def test_activations_grow_with_rows_and_tokens():
    shape = QWEN3["Qwen/Qwen3-0.6B"]
    assert activation_bytes(shape, 2, 100, "bfloat16") == 2 * activation_bytes(shape, 1, 100, "bfloat16")
    assert activation_bytes(shape, 1, 1, "bfloat16") > 8 * shape.vocabulary


def test_memory_of_training_falls_from_stage_to_stage():
    totals = [sum(training_memory(params(), stage).values()) for stage in range(4)]
    assert totals == sorted(totals, reverse=True)


def test_memory_of_the_relay_counts_a_full_row_in_both_models():
    held = decoding_memory(params())
    assert held["teacher's cache, a row"] == pytest.approx((150 + 8192) * 144 * 1024 / 2**30)


def test_work_counts_are_those_of_the_profile():
    works = {work.stage: work for work in plan_work(params(), H100, 1000, Speeds())}
    assert works["filter"].steps == 200_000
    assert works["grpo relay-difficulty: roll-outs"].steps == 130 * 128 * 8
    assert works["grpo relay-difficulty: updates"].steps == 130 * 4
    assert works["evaluate: teacher"].steps == 272 + 500 + 1319 + 674 + 2 * 30 * 32


def test_work_hours_follow_from_a_measured_speed():
    works = {work.stage: work for work in plan_work(params(), H100, 1000, Speeds(student=10_000.0))}
    rollouts = works["grpo relay-difficulty: roll-outs"]
    assert rollouts.measured
    assert rollouts.hours == pytest.approx(130 * 128 * 8 * 1000 / 10_000 / 3600)
    assert not works["filter"].measured


def test_decode_speed_stays_below_what_the_bandwidth_allows():
    shape = QWEN3["Qwen/Qwen3-8B"]
    assert decode_speed(shape, H100, 1, 1000) < H100.bandwidth / (2 * shape.parameters)
    assert decode_speed(shape, H100, 64, 1000) > 10 * decode_speed(shape, H100, 1, 1000)


@pytest.mark.parametrize("profile", [path.stem for path in sorted((ROOT / "params").glob("*.yaml"))])
def test_plan_of_every_profile_prints_all_parts(profile, monkeypatch, capsys):
    monkeypatch.setenv("RELAY_ROOT", str(ROOT))
    assert main(["plan", "--profile", profile]) == 0
    printed = capsys.readouterr().out
    for part in ("Downloads", "Memory per GPU", "ZeRO-3", "Work", "roll-outs"):
        assert part in printed


def test_plan_of_the_paper_names_downloads_and_says_what_is_an_estimate(monkeypatch, capsys):
    monkeypatch.setenv("RELAY_ROOT", str(ROOT))
    main(["plan", "--profile", "qwen3-1.7b"])
    printed = capsys.readouterr().out
    assert "Qwen/Qwen3-8B" in printed
    assert "16.4 GB" in printed
    assert "~ is an estimate from the data sheet" in printed


def test_plan_unknown_profile_is_an_error(monkeypatch, capsys):
    monkeypatch.setenv("RELAY_ROOT", str(ROOT))
    assert main(["plan", "--profile", "nothing"]) == 1
    assert "nothing.yaml" in capsys.readouterr().err


def test_plan_loads_no_torch():
    code = "import relayllm.commands.plan, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT / "src").returncode == 0
