"""Linear layers with int8 weights, for decoding on a CPU: a step of few rows is bound by reading the weights.

Weights are rounded once, with a scale per output; activations at each call, with a scale per row, so that a row's
result does not depend on the rows beside it. Tokens are near those of the weights as they were trained, not equal to
them.
"""

from __future__ import annotations

from typing import Any

import torch

ENGINE = "fbgemm"
LEVELS, ZERO = 127, 128
"""Steps on each side of zero, and where zero lies among the unsigned bytes of activations."""
LEAST = 1e-8


class Int8Linear(torch.nn.Module):
    """A linear layer over packed int8 weights (outputs, inputs); float32 in and out."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        scales = weight.abs().amax(dim=1).clamp(min=LEAST) / LEVELS  # (outputs,)
        zeros = torch.zeros(len(scales), dtype=torch.long)
        self._packed = torch.ops.quantized.linear_prepack(
            torch.quantize_per_channel(weight, scales.double(), zeros, 0, torch.qint8), None)
        self.bias = None if linear.bias is None else linear.bias.detach().float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (..., inputs) to (..., outputs)."""
        largest = x.abs().amax(dim=-1, keepdim=True).clamp_(min=LEAST)  # (..., 1)
        y = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            x / largest, 1 / LEVELS, ZERO, self._packed).mul_(largest)
        return y if self.bias is None else y.add_(self.bias)  # type: ignore[no-any-return]


def with_int8_weights(model: Any) -> Any:
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
