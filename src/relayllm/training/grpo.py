"""GRPO with the relay in the loop, by TRL's trainer."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from relayllm.config import GrpoConfig, GrpoRun
from relayllm.engines.commands import command_tokens
from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.loading import load_model, load_teacher, load_tokenizer
from relayllm.engines.openai.pool_config import read_pool
from relayllm.errors import ConfigError, ModelError, TrainingError
from relayllm.files import atomic_write
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.relay.command import CommandTokens
from relayllm.settings import current_settings
from relayllm.training.builds import drop_stale_locks
from relayllm.training.checkpoints import key_of, open_folder
from relayllm.training.context import check_context
from relayllm.training.grammar_mask import Grammar
from relayllm.training.launching import deepspeed_config, device_arguments, is_main_process
from relayllm.training.lora import adapter_config, give_bias, ready_to_decode, write_merged
from relayllm.training.marking import CheckpointMarker
from relayllm.training.memory import check_grpo, this_device
from relayllm.training.rollouts import Rollouts, reward_of_relay
from relayllm.training.served import ServedDecoders
from relayllm.training.watcher import BEST, Watcher

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from trl import GRPOConfig

    from relayllm.training.trainer import RelayTrainer


def train(config: GrpoConfig, run: GrpoRun, problems: Sequence[Problem], student: Path, teacher: Path, model: Path,
          folder: Path, inputs: Sequence[Path],
          servers: Sequence[str] = ()) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Train one policy; returns what came out and its history, a row per batch of roll-outs.

    `folder` holds checkpoints and the best model so far; a run with the same config and inputs resumes. The caller
    closes it when everything is written. `servers` write the roll-outs; without any the model in training does.

    Raises:
        ConfigError: the batch does not divide, the run does not fit into memory, or a prompt leaves its answer no room.
        ModelError: the student knows no commands.
        StudentError: a server of the roll-outs cannot be used, or lost its weights.
        TrainingError: there are too few problems.
    """
    helper = teacher if run.max_calls else None
    check_grpo(config, student, helper, this_device(config.processes))
    check_context(problems, student, helper, config.decoding.max_new_tokens, "grpo")
    kept, learned = held_out_and_trained(config, problems)
    tokenizer = load_tokenizer(student)
    commands = command_tokens(tokenizer)
    if commands is None:
        raise ModelError(f"the student at {student} knows no commands: start GRPO from the warm-up's model")
    checkpoint = open_folder(folder, key_of(config, inputs, run.model_dump_json() + pool_content(run)))
    made = (ServedDecoders(servers, tokenizer, student, teacher, run, folder) if servers else
            Decoders(tokenizer, teacher, config, run))
    with closing(made) as decoders:
        rollouts = Rollouts(config, run, {problem.id: problem for problem in learned}, decoders.of)
        watcher = Watcher(config, run, rollouts, decoders.of, kept, folder, checkpoint)
        trainer = _trainer(config, run, student, tokenizer, commands, folder, rollouts, watcher, bool(servers))
        if not watcher.finished:  # a trainer that resumes at its last step takes one more
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    found = watcher.result()
    if is_main_process():
        found |= _write(config, student, folder / BEST, model)
    return found, watcher.history


def held_out_and_trained(config: GrpoConfig, problems: Sequence[Problem]) -> tuple[list[Problem], list[Problem]]:
    """Shuffle, and keep some to score the policy with.

    Raises:
        TrainingError: the rest is less than a step needs, or two problems share an id.
    """
    order = list(problems)
    random.Random(config.seed).shuffle(order)
    kept, learned = order[:config.evaluate_problems], order[config.evaluate_problems:]
    if len(learned) < config.problems_per_step:
        raise TrainingError(f"{len(problems)} problems, less {len(kept)} held out, are fewer than the "
                            f"{config.problems_per_step} of one step: filter more, or change grpo.problems_per_step")
    if len({problem.id for problem in order}) < len(order):
        raise TrainingError(f"{len(order)} problems have {len({problem.id for problem in order})} different ids: run "
                            "`relay validate` and give each an id of its own")
    return kept, learned


def pool_content(run: GrpoRun) -> str:
    """The pool that roll-outs ask: a checkpoint counts for the same one. A single server is the teacher's folder."""
    path = current_settings().teachers if run.max_calls else None
    return "" if path is None else read_pool(path).content


class Decoders:
    """One decoder per process, over the model that is being trained and the frozen teacher."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, teacher: Path, config: GrpoConfig, run: GrpoRun) -> None:
        self._tokenizer = tokenizer
        self._made: tuple[PreTrainedModel, RelayDecoder] | None = None
        self._teacher: PreTrainedModel | str | None
        self._teacher_tokenizer: PreTrainedTokenizerBase | None
        self._teacher, self._teacher_tokenizer = (
            load_teacher(teacher, dtype=config.dtype) if run.max_calls else (None, None))

    @contextmanager
    def of(self, model: torch.nn.Module) -> Iterator[RelayDecoder]:
        """A decoder over this model, adapter included; made once and used again."""
        with ready_to_decode(model) as network:
            if self._made is None or self._made[0] is not network:
                self._made = network, RelayDecoder.from_models(network, self._tokenizer, self._teacher,
                                                               self._teacher_tokenizer)
            yield self._made[1]

    def close(self) -> None:
        """Close the connection to a teacher's server."""
        if self._made is not None:
            self._made[1].close()


def _trainer(config: GrpoConfig, run: GrpoRun, student: Path, tokenizer: PreTrainedTokenizerBase,
             commands: CommandTokens, folder: Path, rollouts: Rollouts, watcher: Watcher,
             served: bool) -> RelayTrainer:
    from datasets import Dataset

    from relayllm.training.trainer import RelayTrainer

    if config.deepspeed:
        drop_stale_locks()
    network = load_model(student, dtype=config.dtype, device="cpu").train()
    decoding = config.decoding
    rows = [{"prompt": messages(problem), "problem_id": problem.id} for problem in rollouts.problems.values()]
    trainer = RelayTrainer(
        grammar=Grammar(commands, len(tokenizer), decoding.max_new_tokens, run.max_calls, decoding.max_call_tokens),
        final_share=config.final_learning_rate_share, served=served, model=network,
        reward_funcs=[reward_of_relay],
        args=arguments(config, folder), train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
        rollout_func=rollouts, callbacks=[watcher, CheckpointMarker(lambda: watcher.history)],
        peft_config=adapter_config(config.lora, network, commands) if config.lora else None)
    give_bias(trainer.model)
    return trainer


def _write(config: GrpoConfig, student: Path, best: Path, model: Path) -> dict[str, float]:
    """The best model of the run as the stage's output; returns what is to be told about it."""
    if config.lora:
        return {"merge_kept": write_merged(student, best, config.dtype, model)}
    with atomic_write(model) as part:
        shutil.copytree(best, part)
    return {}


def arguments(config: GrpoConfig, folder: Path) -> GRPOConfig:
    """TRL's `GRPOConfig` from the section of params.

    Raises:
        ConfigError: the batch does not divide.
    """
    from trl import GRPOConfig

    roll_outs, parts = config.problems_per_step * config.group_size, config.mini_batches * config.processes
    added_up, rest = divmod(roll_outs, parts * config.micro_batch_size)
    if rest:
        raise ConfigError(f"grpo: {roll_outs} roll-outs do not divide into {config.mini_batches} mini-batches x "
                          f"{config.processes} processes x {config.micro_batch_size} at once: change "
                          "problems_per_step, group_size, mini_batches or micro_batch_size")
    return GRPOConfig(
        output_dir=str(folder), per_device_train_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=added_up, steps_per_generation=config.mini_batches * added_up,
        num_generations=config.group_size,
        max_steps=config.steps * config.mini_batches, max_completion_length=config.decoding.max_new_tokens,
        learning_rate=config.learning_rate, lr_scheduler_type=config.schedule, weight_decay=config.weight_decay,
        beta=config.kl, epsilon=config.clip_low, epsilon_high=config.clip_high, max_grad_norm=config.max_grad_norm,
        temperature=config.decoding.temperature, top_p=config.decoding.top_p, loss_type=config.loss,
        deepspeed=deepspeed_config(2) if config.deepspeed else None, seed=config.seed, data_seed=config.seed,
        logging_steps=config.mini_batches, save_steps=config.save_every * config.mini_batches, save_total_limit=2,
        report_to="none", disable_tqdm=True, **device_arguments(config.dtype))
