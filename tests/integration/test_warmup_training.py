"""The warm-up with LoRA on a model of random weights: what it hands on, and that a kill changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from relayllm.engines.commands import command_tokens
from relayllm.engines.loading import load_tokenizer
from tests.support.places import ROOT
from tests.support.small_models import base_tokenizer, make_model

LORA = {"rank": 4, "alpha": 8, "dropout": 0.1, "target_modules": ["q_proj", "v_proj", "down_proj"],
        "command_rows": True}
TRAIN = """
import os, signal, sys
from pathlib import Path
import pandas
from transformers import TrainerCallback
from relayllm.config import load_params
from relayllm.training import marking, warmup

place, die_at = Path(sys.argv[1]), int(sys.argv[2])

class Killer(marking.CheckpointMarker):
    def on_step_begin(self, args, state, control, **_):
        if state.global_step == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

if die_at:
    warmup.CheckpointMarker = Killer
found = warmup.train(load_params(place / "params.yaml").warmup, pandas.read_parquet(place / "rows.parquet"),
                     place / "student", place / "model", place / "run", [place / "rows.parquet", place / "student"])
print(found)
"""


def prepare(place: Path) -> Path:
    """A student without commands, and 202 short rows: steps past the first checkpoint."""
    import pandas

    make_model("llama", base_tokenizer(), seed=1).save_pretrained(place / "student")
    base_tokenizer().save_pretrained(place / "student")
    size = len(base_tokenizer())
    rows = [{"prompt_ids": [5, 6, 7 + index % 9], "completion_ids": [8, 9, size, 10 + index % 5, size + 1, 12]}
            for index in range(206)]
    pandas.DataFrame(rows).to_parquet(place / "rows.parquet")
    params = yaml.safe_load((ROOT / "params/smoke.yaml").read_text())
    params["warmup"] |= {"lora": LORA, "zero_stage": 0, "batch_size": 2, "micro_batch_size": 2}
    (place / "params.yaml").write_text(yaml.safe_dump(params))
    return place


def train(place: Path, die_at: int = 0) -> int:
    return subprocess.run([sys.executable, "-c", TRAIN, str(place), str(die_at)], cwd=ROOT, check=False,
                          env={**os.environ, "RELAY_ROOT": str(ROOT), "OMP_NUM_THREADS": "1"}).returncode


@pytest.mark.slow
def test_warmup_with_lora_killed_and_started_again_gives_the_same_merged_model(tmp_path):
    whole, cut = (prepare(tmp_path / name) for name in ("whole", "cut"))
    assert train(whole) == 0
    assert train(cut, die_at=102) == -9
    assert [path.name for path in cut.glob("run/checkpoint-*/*model.safetensors")] == ["adapter_model.safetensors"]
    assert train(cut) == 0
    ours, theirs = (load_file(place / "model/model.safetensors") for place in (whole, cut))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    before = load_file(whole / "student/model.safetensors")
    changed = {name.split(".")[-2] for name in before if "layers" in name and not torch.equal(before[name], ours[name])}
    assert changed == {"q_proj", "v_proj", "down_proj"}
    commands = command_tokens(load_tokenizer(whole / "model"))
    rows = ours["lm_head.weight"]
    assert len(rows) == len(base_tokenizer()) + 2
    assert torch.equal(rows[:commands.call], before["lm_head.weight"])
    assert not torch.equal(rows[commands.call], before["lm_head.weight"].mean(dim=0))
    assert json.loads((whole / "model/adapter/base.json").read_text())["weights"]
