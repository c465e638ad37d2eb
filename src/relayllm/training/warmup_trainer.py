"""TRL's supervised trainer, with a learning rate of their own for the rows of the command tokens."""

from __future__ import annotations

from typing import Any

import torch
from trl import SFTTrainer

from relayllm.progress import Rate, print_line, time_left
from relayllm.training.launching import is_main_process

ROWS_FACTOR = 10.0
"""The two new rows start as the mean of all others, where SmolLM2 gives `<call>` a log-probability of -20. At the rate
of the matrices, fifty steps at 5e-4 brought it to -15, and no call was ever sampled."""
ROWS = "trainable_tokens"
"""In the names of parameters that peft makes for single rows."""


class WarmupTrainer(SFTTrainer):
    """Supervised fine-tuning; beside LoRA the command rows learn faster than the matrices."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._rate, self._logged_step = Rate(), 0

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As TRL does; a loss is printed, too, with the time that the rest will take."""
        super().log(logs, start_time)
        if "loss" in logs and is_main_process():
            step, steps = self.state.global_step, self.state.max_steps
            # a resumed run did not make the steps before its first line
            self._rate.count(step - self._logged_step if self._logged_step else 1)
            self._logged_step = step
            print_line(f"step {step}/{steps}  loss {float(logs['loss']):.3f}{time_left(self._rate, steps - step)}")

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """TRL's, with the command rows in a group of their own."""
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        rows = {id(weight): weight for name, weight in self.model.named_parameters() if ROWS in name}
        for group in list(optimizer.param_groups):
            mine = [weight for weight in group["params"] if id(weight) in rows]
            if mine:
                group["params"] = [weight for weight in group["params"] if id(weight) not in rows]
                settings = {name: value for name, value in group.items() if name != "params"}
                optimizer.add_param_group({**settings, "params": mine, "lr": ROWS_FACTOR * group["lr"]})
        return optimizer
