"""GRPO by TRL's trainer, on models of random weights: it runs, it keeps the best, and a kill changes nothing."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.support.grpo_process import LORA, prepare, train


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, LORA], ids=["all weights", "lora"])
def test_train_killed_and_started_again_gives_the_same_policy(tmp_path, lora):
    whole, cut = (prepare(tmp_path / name, lora=lora) for name in ("whole", "cut"))
    assert train(whole) == 0
    assert train(cut, die_at=3) == -9
    assert not (cut / "model").exists()
    assert [path.name for path in cut.glob("run/checkpoint-*")] == ["checkpoint-4"]
    assert [path.name for path in cut.glob("run/checkpoint-4/*model.safetensors")] == [
        "adapter_model.safetensors" if lora else "model.safetensors"]
    assert train(cut) == 0
    results = [json.loads((place / "result.json").read_text()) for place in (whole, cut)]
    assert results[0] == results[1]
    weights = [(place / "model/model.safetensors").read_bytes() for place in (whole, cut)]
    assert weights[0] == weights[1]
    assert (whole / "model/adapter/adapter_model.safetensors").is_file() == bool(lora)
    before, after = (load_file(whole / name / "model.safetensors") for name in ("student", "model"))
    assert any(not torch.equal(before[name], after[name]) for name in before)

    history = results[0]["history"]
    assert [row["step"] for row in history] == [1, 2, 3, 4]
    scored = {row["step"]: row["held_out_score"] for row in history if "held_out_score" in row}
    assert set(scored) == {1, 2, 4}
    assert scored[results[0]["found"]["best_step"]] == max(scored.values())
    shares = [sum(row[name] for name in ("student_solvable", "teacher_dependent", "teacher_unsolvable"))
              for row in history]
    assert shares == [pytest.approx(1.0)] * 4


@pytest.mark.slow
def test_gradients_of_micro_batches_add_up_to_those_of_the_mini_batch(tmp_path):
    whole, parts = prepare(tmp_path / "whole", steps=2), prepare(tmp_path / "parts", steps=2, micro_batch_size=1)
    assert train(whole) == train(parts) == 0
    ours, theirs = (load_file(place / "model/model.safetensors") for place in (whole, parts))
    before = load_file(whole / "student/model.safetensors")
    assert max((ours[name] - before[name]).abs().max() for name in ours) > 1e-4
    for name in ours:
        assert torch.allclose(ours[name], theirs[name], atol=1e-6), name
