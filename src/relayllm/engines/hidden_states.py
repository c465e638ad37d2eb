"""Hidden states of prompts: what a model makes of a question before it writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.inference_mode()
def prompt_states(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> np.ndarray:
    """The last layer's state at a prompt's last token, and its mean over the prompt. (prompts, 2 width), float32"""
    body = getattr(model, model.base_model_prefix)
    device = next(model.parameters()).device
    rows = []
    for ids in prompts:
        hidden = body(input_ids=torch.tensor([list(ids)], device=device), use_cache=False).last_hidden_state[0]
        rows.append(torch.cat([hidden[-1], hidden.mean(dim=0)]).float().cpu())  # (2 width,)
    return torch.stack(rows).numpy()
