"""Training as its launcher starts it, two processes on this machine's CPU: the warm-up under ZeRO-3, GRPO under ZeRO-2
and without. Smoke runs one process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """A student that knows no commands, and a warm-up set."""
    import copy

    import pandas

    from relayllm.engines.commands import add_command_tokens, command_tokens
    from tests.support.small_models import base_tokenizer, make_model

    folder = tmp_path_factory.mktemp("inputs")
    tokenizer = base_tokenizer()
    student = make_model("qwen3", tokenizer, seed=1)
    student.save_pretrained(folder / "student")
    tokenizer.save_pretrained(folder / "student")
    grown = copy.deepcopy(tokenizer)
    add_command_tokens(make_model("qwen3", grown, seed=1), grown)
    ids = tokenizer.encode("There are 12 pens in 4 boxes.", add_special_tokens=False)
    completion = [*ids, *command_tokens(grown).write(3), *ids, tokenizer.eos_token_id]
    pandas.DataFrame({"problem_id": [f"p{row}" for row in range(48)], "prompt_ids": [ids] * 48,
                      "completion_ids": [completion] * 48}).to_parquet(folder / "rows.parquet")
    return folder


def launch(place: Path, *words: str) -> None:
    """Run a stage in a folder that has params, by somebody whose home cannot be written."""
    shutil.copytree(ROOT / "infra" / "deepspeed", place / "infra" / "deepspeed")
    done = subprocess.run(
        [sys.executable, "-m", "relayllm.cli", *words], cwd=place, capture_output=True, text=True, timeout=580,
        env={**os.environ, "RELAY_ROOT": str(place), "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1",
             "HOME": os.devnull, "TORCH_EXTENSIONS_DIR": str(ROOT / ".store/torch_extensions")})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize(("processes", "zero_stage"), [(2, 3)])
def test_warmup_under_the_launcher_writes_a_whole_model(inputs, tmp_path, processes, zero_stage):
    params = yaml.safe_load((ROOT / "params" / "smoke.yaml").read_text())
    params["warmup"] |= {"processes": processes, "zero_stage": zero_stage, "batch_size": 8, "micro_batch_size": 4}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    launch(tmp_path, "warmup", "--warmup-set", str(inputs / "rows.parquet"), "--student", str(inputs / "student"),
           "--model", "model", "--metrics", "metrics.json")

    from relayllm.engines.loading import load_model, load_tokenizer

    student, taught = load_model(inputs / "student"), load_model(tmp_path / "model")
    tokenizer = load_tokenizer(tmp_path / "model")
    assert taught.get_input_embeddings().weight.shape[0] >= len(tokenizer) > len(load_tokenizer(inputs / "student"))
    assert {name for name, _ in taught.named_parameters()} == {name for name, _ in student.named_parameters()}
    assert all(weight.numel() > 0 for weight in taught.parameters())


@pytest.mark.parametrize("deepspeed", [False, True])
def test_grpo_of_two_processes_writes_one_policy_and_the_history_of_all_roll_outs(tmp_path, deepspeed):
    from relayllm.engines.loading import load_model
    from relayllm.problems.problem import write_problems
    from relayllm.problems.tiny_world import train_problems
    from tests.support.small_models import pair

    student, tokenizer, teacher, theirs = pair()
    for model, words, name in ((student, tokenizer, "student"), (teacher, theirs, "teacher")):
        model.save_pretrained(tmp_path / name)
        words.save_pretrained(tmp_path / name)
    write_problems(tmp_path / "problems.jsonl", train_problems(8, seed=0))
    params = yaml.safe_load((ROOT / "params" / "smoke.yaml").read_text())
    params["grpo"] |= {"processes": 2, "deepspeed": deepspeed, "steps": 2, "evaluate_every": 2, "evaluate_problems": 2,
                       "problems_per_step": 4, "group_size": 4, "mini_batches": 2, "micro_batch_size": 2}
    params["grpo"]["decoding"] |= {"max_new_tokens": 24, "slots": 8}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    launch(tmp_path, "grpo", "--run", "relay-difficulty", "--problems", "problems.jsonl", "--student", "student",
           "--teacher", "teacher", "--model", "model", "--metrics", "metrics.json", "--history", "history.json")
    history = json.loads((tmp_path / "history.json").read_text())
    assert [row["step"] for row in history] == [1, 2]
    shares = [sum(row[name] for name in ("student_solvable", "teacher_dependent", "teacher_unsolvable"))
              for row in history]
    assert shares == [pytest.approx(1.0)] * 2
    trained, before = load_model(tmp_path / "model"), load_model(tmp_path / "student")
    assert any((ours != theirs).any() for ours, theirs in zip(trained.parameters(), before.parameters(), strict=True))
