"""Short runs of GRPO over models of random weights, each in a process of its own, which may be killed on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.support.places import ROOT
from tests.support.small_models import pair

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
