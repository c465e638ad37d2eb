"""`relay plan`: counts by hand, sizes against the published ones, no network and no torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relayllm.cli import main
from relayllm.commands.plan import GPUS, shapes
from relayllm.commands.plan_work import Speeds, WorkPlan, decode_speed
from relayllm.config import HubModel, load_params
from relayllm.engines.checkpoints.model_shapes import PUBLISHED, activation_bytes, folder_shape, shape_of, zero_bytes
from relayllm.errors import ConfigError
from relayllm.training.memory import decoding_memory, training_memory

ROOT = Path(__file__).parents[3]
H100 = GPUS["h100"]


def params(name="qwen3-1.7b"):
    return load_params(ROOT / "params" / f"{name}.yaml")


@pytest.mark.parametrize(("name", "parameters"), [
    ("Qwen3-0.6B", 596_049_920), ("Qwen3-1.7B", 1_720_574_976), ("Qwen3-4B", 4_022_468_096),
    ("Qwen3-8B", 8_190_735_360), ("Qwen3-14B", 14_768_307_200), ("Qwen2.5-0.5B-Instruct", 494_032_768),
    ("Qwen2.5-1.5B-Instruct", 1_543_714_304)])
def test_shape_has_the_published_number_of_parameters(name, parameters):
    assert PUBLISHED[f"Qwen/{name}"].parameters == parameters


@pytest.mark.parametrize("speed", ["0", "-5", "nan", "inf"])
def test_plan_with_a_speed_that_is_none_is_refused(capsys, speed):
    assert main(["plan", "--teacher-tokens-per-second", speed]) == 1
    assert f"--teacher-tokens-per-second is {speed}: give a number above 0" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"hidden_size": 0, "num_attention_heads": 0}),
                                  json.dumps({"hidden_size": "a", "num_attention_heads": 4, "num_hidden_layers": 2})])
def test_shape_of_a_config_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json .*decoder like Qwen or Llama"):
        folder_shape(tmp_path)


def test_shape_of_an_unknown_model_is_an_error_that_says_where_to_add_it():
    with pytest.raises(ConfigError, match=r"no shape of some/model.*model_shapes"):
        shape_of(HubModel(kind="hub", id="some/model", revision="main"))


def test_cache_of_qwen3_8b_takes_144_kib_a_token():
    assert PUBLISHED["Qwen/Qwen3-8B"].cache_bytes("bfloat16") == 144 * 1024


@pytest.mark.parametrize(("stage", "per_parameter"), [(0, 16), (1, 4 + 12 / 8), (2, 2 + 14 / 8), (3, 16 / 8)])
def test_zero_shares_states_then_gradients_then_weights(stage, per_parameter):
    assert zero_bytes(1000, stage, 8, "bfloat16") == 1000 * per_parameter


@pytest.mark.parametrize("stage", range(4))
def test_zero_on_one_process_shares_nothing(stage):
    assert zero_bytes(1000, stage, 1, "float32") == 16_000


def test_activations_grow_with_rows_and_tokens():
    shape = PUBLISHED["Qwen/Qwen3-0.6B"]
    assert activation_bytes(shape, 2, 100, "bfloat16") == 2 * activation_bytes(shape, 1, 100, "bfloat16")
    assert activation_bytes(shape, 1, 1, "bfloat16") > 8 * shape.vocabulary


def test_memory_of_training_falls_from_stage_to_stage():
    student, _ = shapes(params())
    totals = [sum(training_memory(student, params().grpo, stage).values()) for stage in range(4)]
    assert totals == sorted(totals, reverse=True)


def test_memory_of_the_relay_counts_a_full_row_in_both_models():
    held = decoding_memory(*shapes(params()), params().grpo.decoding, "bfloat16")
    assert held["teacher's cache, a row"] == pytest.approx((150 + 8192) * 144 * 1024 / 2**30)


def works_of(params, **speeds):
    return {work.stage: work for work in WorkPlan(params, H100, *shapes(params), 1000, Speeds(**speeds)).stages()}


def test_work_counts_are_those_of_the_profile():
    works = works_of(params())
    assert works["filter"].steps == 200_000
    assert works["grpo relay-difficulty: roll-outs"].steps == 130 * 128 * 8
    assert works["grpo relay-difficulty: updates"].steps == 130 * 4
    assert works["evaluate: teacher"].steps == 272 + 500 + 1319 + 674 + 2 * 30 * 32


@pytest.mark.parametrize(("methods", "teacher", "others", "cascade", "tried"), [
    ([], 4685, 1, None, None),
    (["random-query", "random-position"], 4685, 2, None, None),
    (["cascade", "cascade-2x"], 4685, 1, 5 * (4685 + 1000), None),
    (["query-router"], 4685 + 1000, 1, None, 1000),
    (["entropy", "call-ratio-2x"], 4685, 3, None, 2 * 11 * 200),
    (["token-router", "query-router"], 4685 + 1000, 2, None, 11 * 200 + 5 * 1000)])
def test_work_of_evaluation_counts_what_routers_ask_and_try(methods, teacher, others, cascade, tried):
    given = params()
    chosen = given.evaluate.model_copy(update={"methods": ["relay-difficulty", "teacher", *methods]})
    works = works_of(given.model_copy(update={"evaluate": chosen}))
    assert works["evaluate: teacher"].steps == teacher
    assert works[f"evaluate: {others} other methods"].steps == others * 4685
    found = [works[name].steps if name in works else None
             for name in ("evaluate: samples of the cascade", "evaluate: routers and settings, at most")]
    assert found == [cascade, tried]


def test_work_hours_follow_from_a_measured_speed():
    works = works_of(params(), student=10_000.0)
    rollouts = works["grpo relay-difficulty: roll-outs"]
    assert rollouts.measured
    assert rollouts.hours == pytest.approx(130 * 128 * 8 * 1000 / 10_000 / 3600)
    assert not works["filter"].measured


def test_decode_speed_stays_below_what_the_bandwidth_allows():
    shape = PUBLISHED["Qwen/Qwen3-8B"]
    assert decode_speed(shape, H100, 1, 1000) < H100.bandwidth / (2 * shape.parameters)
    assert decode_speed(shape, H100, 64, 1000) > 10 * decode_speed(shape, H100, 1, 1000)


PROFILES = [path.stem for path in sorted((ROOT / "params").glob("*.yaml"))
            if load_params(path).base_models.student.kind != "local"]


@pytest.mark.parametrize("profile", PROFILES)
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


@pytest.mark.parametrize(("profile", "gpu"), [("qwen3-0.6b", "a100"), ("qwen2.5-0.5b", "a10"), ("qwen2.5-0.5b", "l4")])
def test_plan_shows_that_the_pair_fits_one_gpu_with_lora(profile, gpu, monkeypatch, capsys):
    monkeypatch.setenv("RELAY_ROOT", str(ROOT))
    assert main(["plan", "--profile", profile, "--gpu", gpu]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "GiB, " in line]
    assert f", fits one {gpu}" in lines[-1]


def test_plan_reads_the_shape_of_a_local_model_from_its_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path))
    (tmp_path / "params.yaml").write_text((ROOT / "params/real-cpu.yaml").read_text())
    assert main(["plan"]) == 1
    assert "models/student/config.json" in capsys.readouterr().err
    for role in ("student", "teacher"):
        (tmp_path / "models" / role).mkdir(parents=True)
        (tmp_path / "models" / role / "config.json").write_text(json.dumps(QWEN25))
    assert main(["plan"]) == 0
    assert "models/student is on this machine" in capsys.readouterr().out
    assert folder_shape(tmp_path / "models/student").parameters == 494_032_768


QWEN25 = {"model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
          "num_key_value_heads": 2, "intermediate_size": 4864, "vocab_size": 151_936, "tie_word_embeddings": True,
          "max_position_embeddings": 32_768}


def test_folder_that_describes_no_decoder_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(ConfigError, match="describes no decoder"):
        folder_shape(tmp_path)
