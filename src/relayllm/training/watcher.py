"""The callback of a GRPO run: it keeps the history, scores held-out problems, keeps the best model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from relayllm.config import GrpoConfig, GrpoRun
from relayllm.engines.decoder import RelayDecoder
from relayllm.files import atomic_write
from relayllm.problems.problem import Problem
from relayllm.progress import Rate, print_line, time_left
from relayllm.tracking.run import current
from relayllm.training.checkpoints import content_of
from relayllm.training.launching import is_main_process
from relayllm.training.rollouts import LOGPROB_GAP, Rollouts, decoding_of
from relayllm.training.watch import held_out, samples, step_numbers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerControl, TrainerState, TrainingArguments

SHOWN_ROLLOUTS = 8
BEST = "best"
"""Folder of the best model so far, in that of the run; with LoRA it holds the adapter."""
STEP_LINE = ("step {step}/{steps}  reward {reward:.2f}  accuracy {accuracy:.2f}  call ratio {call_ratio:.3f}  "
             "callers {callers:.2f}  n {mean_n:.1f}  length {length:.0f}  {seconds_step:.1f} s")


class Watcher(TrainerCallback):
    """TRL callback: logs each step of training, scores held-out problems, keeps the best model.

    `decoder` makes a decoder of the model that is being trained, for as long as it decodes. A run that resumes from a
    checkpoint has that checkpoint's history.
    """

    def __init__(self, config: GrpoConfig, run: GrpoRun, rollouts: Rollouts,
                 decoder: Callable[[torch.nn.Module], AbstractContextManager[RelayDecoder]],
                 problems: Sequence[Problem], folder: Path, checkpoint: Path | None) -> None:
        self._config, self._run, self._rollouts, self._decoder = config, run, rollouts, decoder
        self._problems, self._folder = problems, folder
        self.history: list[dict[str, float]] = content_of(checkpoint) if checkpoint else []
        self._started, self._rate = time.perf_counter(), Rate()
        self._table: list[dict[str, Any]] = []
        for row in self.history:  # the curve of a resumed run starts where training did
            self._log(row)

    @property
    def finished(self) -> bool:
        """Whether the checkpoint that was resumed from is the last one."""
        return bool(self.history) and self.history[-1]["step"] == self._config.steps

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
               logs: dict[str, Any] | None = None, *, model: PreTrainedModel,
               processing_class: PreTrainedTokenizerBase, **_: object) -> None:
        """Log the step that was just trained; every so often score held-out problems and keep the best model."""
        logs = logs or {}
        if "kl" not in logs and "entropy" not in logs:
            return  # the summary at the end
        step = state.global_step // self._config.mini_batches
        numbers = self._numbers(step, logs)
        if step % self._config.evaluate_every == 0 or step == self._config.steps or step == 1:
            numbers |= self._score(step, model, processing_class)
        self._started = time.perf_counter()
        self.history.append(numbers)
        self._log(numbers)
        self._rate.count(1)
        if is_main_process():
            print_line(step_line(numbers, self._config.steps, self._rate))

    def _numbers(self, step: int, logs: dict[str, Any]) -> dict[str, float]:
        seconds = time.perf_counter() - self._started
        numbers = step_numbers(self._rollouts.last, self._rollouts.seconds)
        if LOGPROB_GAP in logs:
            numbers["logprob_gap"] = logs[LOGPROB_GAP]
        return numbers | {
            "step": step, "entropy": logs.get("entropy", 0.0), "kl": logs.get("kl", 0.0),
            "learning_rate": logs.get("learning_rate", 0.0), "seconds_step": seconds,
            "seconds_update": seconds - numbers["seconds_rollout"] - numbers["seconds_grade"]}

    def _log(self, numbers: dict[str, float]) -> None:
        current().metrics({name: value for name, value in numbers.items() if name != "step"}, int(numbers["step"]))

    def _score(self, step: int, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, float]:
        with self._decoder(model) as decoder:
            found = held_out(decoder, self._problems, decoding_of(self._config, self._run))
        best = max((row["held_out_score"] for row in self.history if "held_out_score" in row), default=-1.0)
        if found.score > best or not (self._folder / BEST).is_dir():
            self._keep(model, tokenizer)
        if is_main_process():
            print_line(f"step {step}: held out, greedy: accuracy {found.accuracy:.3f}, "
                       f"call ratio {found.call_ratio:.4f}")
        self._table += samples(self._rollouts.last, step, SHOWN_ROLLOUTS)
        current().table("rollouts", self._table)
        return {f"held_out_{name}": value for name, value in asdict(found).items()}

    def _keep(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        if is_main_process():
            with atomic_write(self._folder / BEST) as part:
                model.save_pretrained(part)
                tokenizer.save_pretrained(part)

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


def step_line(numbers: Mapping[str, float], steps: int, rate: Rate) -> str:
    """What a person at the screen wants to know of a step; `rate` has counted it."""
    return STEP_LINE.format(steps=steps, **numbers) + time_left(rate, steps - int(numbers["step"]))
