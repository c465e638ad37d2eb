"""GRPO with the relay in the loop, by TRL's trainer."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from relayllm.config import GrpoConfig, GrpoRun
from relayllm.engines.commands import command_tokens
from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.loading import best_device, load_model, load_tokenizer
from relayllm.errors import ConfigError, ModelError, TrainingError
from relayllm.files import atomic_write
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.settings import current_settings
from relayllm.tracking.run import current
from relayllm.training.builds import drop_stale_locks
from relayllm.training.checkpoints import content_of, key_of, open_folder
from relayllm.training.grammar_mask import Grammar
from relayllm.training.launching import deepspeed_config, device_arguments, is_main_process
from relayllm.training.marking import CheckpointMarker
from relayllm.training.rollouts import Rollouts, reward_of_relay
from relayllm.training.watch import held_out, samples, step_numbers

SHOWN_ROLLOUTS = 8


def train(config: GrpoConfig, run: GrpoRun, problems: Sequence[Problem], student: Path, teacher: Path, model: Path,
          folder: Path, inputs: Sequence[Path]) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Train one policy; returns what came out and its history, a row per batch of roll-outs.

    `folder` holds checkpoints and the best model so far; a run with the same config and inputs resumes. The caller
    closes it when everything is written.

    Raises:
        ConfigError: the batch does not divide.
        ModelError: the student knows no commands.
        TrainingError: there are too few problems.
    """
    from datasets import Dataset

    order = list(problems)
    random.Random(config.seed).shuffle(order)
    kept, learned = order[:config.evaluate_problems], order[config.evaluate_problems:]
    if len(learned) < config.problems_per_step:
        raise TrainingError(f"{len(problems)} problems, less {len(kept)} held out, are fewer than the "
                            f"{config.problems_per_step} of one step: filter more, or change grpo.problems_per_step")
    tokenizer = load_tokenizer(student)
    commands = command_tokens(tokenizer)
    if commands is None:
        raise ModelError(f"the student at {student} knows no commands: start GRPO from the warm-up's model")
    checkpoint = open_folder(folder, key_of(config, inputs, run.model_dump_json()))
    if config.deepspeed:
        drop_stale_locks()
    network = load_model(student, dtype=config.dtype, device="cpu").train()
    decoders = _Decoders(tokenizer, teacher, config, run)
    rollouts = Rollouts(config, run, {messages(problem)[-1]["content"]: problem for problem in learned}, decoders.of)
    watcher = _Watcher(config, run, rollouts, decoders, kept, folder, checkpoint)
    trainer = _trainer(config, run, network, tokenizer, folder, rollouts,
                       Dataset.from_list([{"prompt": messages(problem)} for problem in learned]),
                       [watcher, CheckpointMarker(lambda: watcher.history)])
    decoding = config.decoding
    trainer.grammar = Grammar(commands, len(tokenizer), decoding.max_new_tokens, run.max_calls,
                              decoding.max_call_tokens)
    trainer.final_share = config.final_learning_rate_share
    watcher.trainer = trainer
    if not watcher.finished:  # a trainer that resumes at its last step takes one more
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if is_main_process():
        with atomic_write(model) as part:
            shutil.copytree(folder / "best", part)
    return watcher.result(), watcher.history


class _Decoders:
    """One decoder per process, over the model that is being trained and the frozen teacher."""

    def __init__(self, tokenizer: Any, teacher: Path, config: GrpoConfig, run: GrpoRun) -> None:
        self._tokenizer = tokenizer
        self._decoder: RelayDecoder | None = None
        self._teacher = (current_settings().teacher_url or load_model(teacher, dtype=config.dtype, device=best_device())
                         ) if run.max_calls else None
        self._teacher_tokenizer = load_tokenizer(teacher) if run.max_calls else None

    def of(self, model: Any) -> RelayDecoder:
        """For this model; the same object every time but the first."""
        if self._decoder is None or self._decoder.student.model is not model:  # type: ignore[attr-defined]
            self._decoder = RelayDecoder.from_models(model, self._tokenizer, self._teacher, self._teacher_tokenizer)
        return self._decoder


class _Watcher(TrainerCallback):
    """Keeps the history, scores held-out problems, keeps the best model."""

    def __init__(self, config: GrpoConfig, run: GrpoRun, rollouts: Rollouts, decoders: _Decoders,
                 problems: Sequence[Problem], folder: Path, checkpoint: Path | None) -> None:
        self._config, self._run, self._rollouts, self._decoders = config, run, rollouts, decoders
        self._problems, self._folder = problems, folder
        self.trainer: Any = None
        self.history: list[dict[str, float]] = content_of(checkpoint) if checkpoint else []
        self._started = time.perf_counter()
        self._table: list[dict[str, Any]] = []
        for row in self.history:  # the curve of a resumed run starts where training did
            self._log(row)

    @property
    def finished(self) -> bool:
        """Whether the checkpoint that was resumed from is the last one."""
        return bool(self.history) and self.history[-1]["step"] == self._config.steps

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """A batch of roll-outs was learned from."""
        logs = logs or {}
        if "kl" not in logs and "entropy" not in logs:
            return  # the summary at the end
        now = time.perf_counter()
        step = state.global_step // self._config.mini_batches
        numbers = step_numbers(self._rollouts.last, self._rollouts.seconds)
        numbers |= {"step": step, "entropy": logs.get("entropy", 0.0), "kl": logs.get("kl", 0.0),
                    "learning_rate": logs.get("learning_rate", 0.0), "seconds_step": now - self._started}
        numbers["seconds_update"] = numbers["seconds_step"] - numbers["seconds_rollout"] - numbers["seconds_grade"]
        if step % self._config.evaluate_every == 0 or step == self._config.steps or step == 1:
            numbers |= self._score(step)
        self._started = time.perf_counter()
        self.history.append(numbers)
        self._log(numbers)
        if is_main_process() and (step % 5 == 0 or step == self._config.steps):
            print("step {step}/{steps}  reward {reward:.2f}  accuracy {accuracy:.2f}  call ratio {call_ratio:.3f}  "
                  "callers {callers:.2f}  n {mean_n:.1f}  length {length:.0f}  {seconds_step:.1f} s".format(
                      steps=self._config.steps, **numbers), flush=True)

    def _log(self, numbers: dict[str, float]) -> None:
        current().metrics({name: value for name, value in numbers.items() if name != "step"}, int(numbers["step"]))

    def _score(self, step: int) -> dict[str, float]:
        model = self.trainer.accelerator.unwrap_model(self.trainer.model_wrapped)
        decoding = self._config.decoding
        model.eval()
        found = held_out(self._decoders.of(model), self._problems, {
            "max_new_tokens": decoding.max_new_tokens, "slots": decoding.slots, "max_calls": self._run.max_calls,
            "max_call_tokens": decoding.max_call_tokens, "enable_thinking": decoding.enable_thinking})
        model.train()
        best = max((row["held_out_score"] for row in self.history if "held_out_score" in row), default=-1.0)
        if found.score > best or not (self._folder / "best").is_dir():
            self._keep(model)
        if is_main_process():
            print(f"step {step}: held out, greedy: accuracy {found.accuracy:.3f}, call ratio {found.call_ratio:.4f}",
                  flush=True)
        self._table += samples(self._rollouts.last, step, SHOWN_ROLLOUTS)
        current().table("rollouts", self._table)
        return {f"held_out_{name}": value for name, value in asdict(found).items()}

    def _keep(self, model: Any) -> None:
        if is_main_process():
            with atomic_write(self._folder / "best") as part:
                model.save_pretrained(part)
                self.trainer.processing_class.save_pretrained(part)

    def result(self) -> dict[str, float]:
        """The kept checkpoint's scores, and the last step's numbers."""
        scored = [row for row in self.history if "held_out_score" in row]
        best = max(scored, key=lambda row: row["held_out_score"])
        timed = ("seconds", "rollout_tokens")
        last = {name: value for name, value in self.history[-1].items() if not name.startswith(timed)}
        return {"steps": len(self.history), "best_step": best["step"],
                **{name: best[name] for name in ("held_out_accuracy", "held_out_call_ratio", "held_out_score")},
                **{f"last_{name}": value for name, value in last.items()
                   if name in ("reward", "accuracy", "call_ratio", "callers", "kl", "entropy", "length", "mean_n")}}


def _trainer(config: GrpoConfig, run: GrpoRun, network: Any, tokenizer: Any, folder: Path, rollouts: Rollouts,
             data_set: Any, callbacks: list[Any]) -> Any:
    from relayllm.training.trainer import RelayTrainer

    return RelayTrainer(model=network, reward_funcs=[reward_of_relay], args=arguments(config, folder),
                        train_dataset=data_set, processing_class=tokenizer, rollout_func=rollouts,
                        callbacks=callbacks)


def arguments(config: GrpoConfig, folder: Path) -> Any:
    """What TRL's trainer is told.

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
        gradient_checkpointing=config.dtype == "bfloat16",
        deepspeed=deepspeed_config(2) if config.deepspeed else None, seed=config.seed, data_seed=config.seed,
        logging_steps=config.mini_batches, save_steps=config.save_every * config.mini_batches, save_total_limit=2,
        report_to="none", disable_tqdm=True, **device_arguments(config.dtype))
