"""The callback that marks a checkpoint as whole once every process has written its part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from relayllm.training.checkpoints import mark_whole
from relayllm.training.launching import is_main_process

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class CheckpointMarker(TrainerCallback):
    """Marks each checkpoint once every process has written its part, with whatever belongs to that moment."""

    def __init__(self, content: Callable[[], Any] = lambda: None) -> None:
        self._content = content

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Mark the checkpoint that the trainer has just written."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()
        if is_main_process():
            mark_whole(Path(args.output_dir) / f"checkpoint-{state.global_step}", self._content())
