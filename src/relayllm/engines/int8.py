"""Linear layers with int8 weights, for decoding on a CPU: a step of few rows is bound by reading the weights.

Weights are rounded once, with a scale per output; activations at each call, with a scale per row, so that a row's
result does not depend on the rows beside it. Tokens are near those of the weights as they were trained, not equal to
them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ENGINE = "fbgemm"
LEVELS, FEWER_LEVELS = 127, 63
"""Steps on each side of zero; zero of activations, which are unsigned bytes, lies one step above them."""
LEAST = 1e-8
PROBE = 64
"""Inputs of a layer that shows whether sums of products overflow."""


class Int8Linear(torch.nn.Module):
    """A linear layer over packed int8 weights (outputs, inputs); float32 in and out."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._packed = _packed(linear.weight.detach().float())
        self.bias = None if linear.bias is None else linear.bias.detach().float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., inputs) to (..., outputs)."""
        largest = x.abs().amax(dim=-1, keepdim=True).clamp_(min=LEAST)  # (..., 1)
        y = _product(x / largest, activation_levels(), self._packed).mul_(largest)
        return y if self.bias is None else y.add_(self.bias)  # type: ignore[no-any-return]


@cache
def activation_levels() -> int:
    """Steps on each side of zero that activations may have on this CPU.

    One without VNNI (before Cascade Lake and Zen 4) adds two products in 16 bits, where those of whole bytes overflow
    and come out too small. The kernel is asked rather than the CPU's name.
    """
    ones = torch.ones(1, PROBE)
    found = float(_product(ones, LEVELS, _packed(ones)))
    return LEVELS if abs(found - PROBE) < 1e-3 * PROBE else FEWER_LEVELS


def _packed(weight: torch.Tensor) -> torch.ScriptObject:
    """Float32 weights (outputs, inputs), rounded with a scale per output."""
    scales = weight.abs().amax(dim=1).clamp(min=LEAST) / LEVELS  # (outputs,)
    zeros = torch.zeros(len(scales), dtype=torch.long)
    return torch.ops.quantized.linear_prepack(
        torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8), None)


def _product(x: torch.Tensor, levels: int, packed: torch.ScriptObject) -> torch.Tensor:
    """x (..., inputs), from -1 to 1, times packed weights: (..., outputs)."""
    return torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(  # type: ignore[no-any-return]
        x, 1 / levels, levels + 1, packed)


def with_int8_weights(model: PreTrainedModel) -> PreTrainedModel:
    """Replace every linear layer of a causal LM on the CPU, its head included, and make the rest float32.

    The model is changed, and can only decode from then on.
    """
    torch.backends.quantized.engine = ENGINE
    model = model.float()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear):
                setattr(parent, name, Int8Linear(child))
    return model
