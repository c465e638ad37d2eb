"""The rates at which the parts of a LoRA warm-up learn."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path

import pytest
from datasets import Dataset
from trl import SFTConfig

from relayllm.config import LoraConfig
from relayllm.engines.commands import add_command_tokens
from relayllm.progress import MARK, MARKED_LINES
from relayllm.training.lora import adapter_config
from relayllm.training.warmup_trainer import ROWS, ROWS_FACTOR, WarmupTrainer
from tests.support.small_models import base_tokenizer, make_model

LORA = LoraConfig(rank=2, alpha=4, dropout=0.0, target_modules=["q_proj"], command_rows=True)


def trainer(folder: Path, lora: LoraConfig | None) -> WarmupTrainer:
    tokenizer = deepcopy(base_tokenizer())  # it gets two tokens more
    network = make_model("llama", tokenizer, seed=1)
    commands = add_command_tokens(network, tokenizer)
    arguments = SFTConfig(output_dir=str(folder), learning_rate=1e-3, lr_scheduler_type="linear", max_steps=2,
                          bf16=False, report_to="none", disable_tqdm=True, use_cpu=True, save_strategy="no",
                          max_length=None, gradient_checkpointing=False)
    rows = Dataset.from_dict({"input_ids": [[1, 2, commands.call, 3]] * 4, "labels": [[-100, 2, commands.call, 3]] * 4})
    return WarmupTrainer(model=network, args=arguments, train_dataset=rows, processing_class=tokenizer,
                         peft_config=adapter_config(lora, network, commands) if lora else None)


def rates(made: WarmupTrainer) -> dict[bool, set[float]]:
    """Whether it is a command row -> the learning rates of such parameters."""
    names = {id(weight): name for name, weight in made.model.named_parameters()}
    found: dict[bool, set[float]] = {}
    for group in made.optimizer.param_groups:
        for weight in group["params"]:
            found.setdefault(ROWS in names[id(weight)], set()).add(group["lr"])
    return found


def test_command_rows_learn_faster_and_every_weight_is_trained_once(tmp_path: Path) -> None:
    made = trainer(tmp_path, LORA)
    made.create_optimizer_and_scheduler(2)
    assert rates(made) == {False: {1e-3}, True: {ROWS_FACTOR * 1e-3}}
    trained = [id(weight) for group in made.optimizer.param_groups for weight in group["params"]]
    assert sorted(trained) == sorted(id(weight) for weight in made.model.parameters() if weight.requires_grad)
    made.optimizer.step()
    made.lr_scheduler.step()
    slow, fast = (next(iter(rates(made)[rows])) for rows in (False, True))
    assert (slow, fast) == (pytest.approx(5e-4), pytest.approx(ROWS_FACTOR * 5e-4))


def test_without_lora_there_is_one_rate(tmp_path: Path) -> None:
    made = trainer(tmp_path, None)
    made.create_optimizer_and_scheduler(2)
    assert rates(made) == {False: {1e-3}}


def test_loss_is_told_to_whoever_watches(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARKED_LINES, "1")
    made = trainer(tmp_path, None)
    made.args.logging_steps = made.state.logging_steps = 1
    made.train()
    told = [line.removeprefix(MARK) for line in capsys.readouterr().out.split("\n") if line.startswith(MARK)]
    assert [re.sub(r"loss \d+\.\d{3}.*", "loss", line) for line in told] == ["step 1/2  loss", "step 2/2  loss"]
