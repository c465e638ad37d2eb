"""TRL's supervised trainer, with a learning rate of their own for the rows of the command tokens."""

from __future__ import annotations

from typing import Any

import torch
from trl import SFTTrainer

ROWS_FACTOR = 10.0
"""The two new rows start as the mean of all others, where SmolLM2 gives `<call>` a log-probability of -20. At the rate
of the matrices, fifty steps at 5e-4 brought it to -15, and no call was ever sampled."""
ROWS = "trainable_tokens"
"""In the names of parameters that peft makes for single rows."""


class WarmupTrainer(SFTTrainer):
    """Supervised fine-tuning; beside LoRA the command rows learn faster than the matrices."""

    def create_optimizer(self, *given: Any) -> torch.optim.Optimizer:
        """TRL's, with the command rows in a group of their own."""
        optimizer: torch.optim.Optimizer = super().create_optimizer(*given)
        rows = {id(weight): weight for name, weight in self.model.named_parameters() if ROWS in name}
        for group in list(optimizer.param_groups):
            mine = [weight for weight in group["params"] if id(weight) in rows]
            if mine:
                group["params"] = [weight for weight in group["params"] if id(weight) not in rows]
                settings = {name: value for name, value in group.items() if name != "params"}
                optimizer.add_param_group({**settings, "params": mine, "lr": ROWS_FACTOR * group["lr"]})
        return optimizer
