"""The warm-up: supervised fine-tuning on completions that contain commands."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from relayllm.config import WarmupConfig
from relayllm.engines.commands import add_command_tokens
from relayllm.engines.loading import load_model, load_tokenizer
from relayllm.errors import ConfigError, TrainingError
from relayllm.files import atomic_write
from relayllm.training.builds import drop_stale_locks
from relayllm.training.checkpoints import key_of, open_folder
from relayllm.training.launching import deepspeed_config, device_arguments, is_main_process
from relayllm.training.lora import adapter_config, give_bias, write_merged
from relayllm.training.marking import CheckpointMarker
from relayllm.training.memory import check_warmup, this_device

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase
    from trl import SFTConfig

IGNORED = -100


def train(config: WarmupConfig, rows: pd.DataFrame, student: Path, model: Path, folder: Path,
          inputs: Iterable[Path]) -> dict[str, float]:
    """Fine-tune the student with TRL's supervised trainer; the loss reads completions alone.

    `rows` is a table with prompt_ids and completion_ids; `folder` holds checkpoints; the caller
    closes it when everything is written.

    Raises:
        ConfigError: the batch does not divide among processes and micro-batches, or the run would not fit into memory.
        TrainingError: the loss is not a number.
    """
    from relayllm.training.warmup_trainer import WarmupTrainer

    check_warmup(student, config.lora, config.zero_stage, config.processes, config.dtype,
                 this_device(config.processes))
    tokenizer = load_tokenizer(student)
    network = load_model(student, dtype=config.dtype, device="cpu").train()
    commands = add_command_tokens(network, tokenizer)
    checkpoint = open_folder(folder, key_of(config, inputs))
    if config.zero_stage:
        drop_stale_locks()
    trainer = WarmupTrainer(model=network, args=_arguments(config, folder), train_dataset=_data_set(rows),
                         processing_class=tokenizer, callbacks=[CheckpointMarker()],
                         peft_config=adapter_config(config.lora, network, commands) if config.lora else None)
    give_bias(trainer.model)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if not losses or losses[-1] != losses[-1]:
        raise TrainingError(f"the warm-up's loss is {losses[-1:]}, after {trainer.state.global_step} steps: lower "
                            f"warmup.learning_rate, which is {config.learning_rate}")
    found = {"steps": float(trainer.state.global_step), "first_loss": losses[0], "last_loss": losses[-1],
             "rows": float(len(rows))}
    final = folder / "final"
    trainer.save_model(str(final))  # on every process: ZeRO-3 gathers its shards here
    if is_main_process():
        found |= _write(config, student, final, tokenizer, model)
    return found


def _write(config: WarmupConfig, student: Path, final: Path, tokenizer: PreTrainedTokenizerBase,
           model: Path) -> dict[str, float]:
    """The trained model as the stage's output; returns what is to be told about it."""
    if config.lora:
        return {"merge_kept": write_merged(student, final, config.dtype, model)}
    tokenizer.save_pretrained(final)
    with atomic_write(model) as part:
        shutil.copytree(final, part, ignore=shutil.ignore_patterns("*.bin"))
    return {}


def _data_set(rows: pd.DataFrame) -> Dataset:
    from datasets import Dataset

    ids = [[*prompt, *completion] for prompt, completion in zip(rows.prompt_ids, rows.completion_ids, strict=True)]
    labels = [[IGNORED] * len(prompt) + list(completion)
              for prompt, completion in zip(rows.prompt_ids, rows.completion_ids, strict=True)]
    return Dataset.from_dict({"input_ids": ids, "labels": labels})


def _arguments(config: WarmupConfig, folder: Path) -> SFTConfig:
    from trl import SFTConfig

    share = config.micro_batch_size * config.processes
    if config.batch_size % share:
        raise ConfigError(f"warmup: a batch of {config.batch_size} does not divide into {config.processes} processes x "
                          f"{config.micro_batch_size} rows: change batch_size or micro_batch_size")
    return SFTConfig(
        output_dir=str(folder), per_device_train_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=config.batch_size // share, learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule, num_train_epochs=config.epochs, seed=config.seed, data_seed=config.seed,
        deepspeed=deepspeed_config(config.zero_stage) if config.zero_stage else None,
        max_length=None, packing=False, logging_steps=20, logging_first_step=True, save_steps=100, save_total_limit=2,
        report_to="none", disable_tqdm=True, **device_arguments(config.dtype))
