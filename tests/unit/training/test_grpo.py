"""GRPO by TRL's trainer, on models of random weights: it runs, it keeps the best, and a kill changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from relayllm.config import load_params
from relayllm.errors import ConfigError
from relayllm.training.grpo import arguments

ROOT = Path(__file__).resolve().parents[3]
TRAIN = """
import json, os, signal, sys
from pathlib import Path
from relayllm.config import load_params
from relayllm.problems.tiny_world import train_problems
from relayllm.settings import current_settings
from relayllm.stages.grpo import without_seconds
import relayllm.training.watcher as watcher
from relayllm.training.grpo import train

place, die_at = Path(sys.argv[1]), int(sys.argv[2])

class Witness:
    def metrics(self, values, step):
        if step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
    def table(self, name, rows):
        pass

watcher.current = Witness
config = load_params(place / "params.yaml").grpo
found, history = train(config, config.runs["relay-difficulty"], train_problems(8, seed=0), place / "student",
                       place / "teacher", place / "model", place / "run", [place / "student"],
                       current_settings().rollout_urls.get("relay-difficulty", ()))
(place / "result.json").write_text(json.dumps({"found": found, "history": [without_seconds(row) for row in history]}))
"""
LORA = {"rank": 4, "alpha": 8, "dropout": 0.0, "target_modules": "all-linear", "command_rows": True}
CHANGES = {"steps": 4, "save_every": 2, "evaluate_every": 2, "evaluate_problems": 2, "problems_per_step": 2,
           "group_size": 4, "mini_batches": 2, "micro_batch_size": 4}


def prepare(place: Path, **changes: Any) -> Path:
    """A student, a teacher and params for four short steps."""
    from tests.support.small_models import pair

    student, tokenizer, teacher, theirs = pair()
    for model, words, name in ((student, tokenizer, "student"), (teacher, theirs, "teacher")):
        model.save_pretrained(place / name)
        words.save_pretrained(place / name)
    params = yaml.safe_load((ROOT / "params/smoke.yaml").read_text())
    params["grpo"] |= CHANGES | changes
    params["grpo"]["decoding"] |= {"max_new_tokens": 24, "slots": 8}
    (place / "params.yaml").write_text(yaml.safe_dump(params))
    return place


def train(place: Path, die_at: int = 0) -> int:
    done = subprocess.run([sys.executable, "-c", TRAIN, str(place), str(die_at)], cwd=ROOT, check=False,
                          env={**os.environ, "RELAY_ROOT": str(ROOT), "OMP_NUM_THREADS": "1"})
    return done.returncode


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


def test_roll_outs_that_do_not_divide_are_refused(tmp_path):
    config = load_params(ROOT / "params/smoke.yaml").grpo
    for wrong in ({"mini_batches": 3}, {"micro_batch_size": 3}, {"mini_batches": 1000}):
        with pytest.raises(ConfigError, match="do not divide"):
            arguments(config.model_copy(update=CHANGES | wrong), tmp_path)
