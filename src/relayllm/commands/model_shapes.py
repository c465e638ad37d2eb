"""Sizes of models by formula: parameters, bytes and floating-point operations, without loading anything."""

from __future__ import annotations

from dataclasses import dataclass

from relayllm.config import HubModel, TinyModel
from relayllm.errors import ConfigError

TINY_VOCABULARY = 700
"""About what the tiny world's tokenizer knows."""
BYTES = {"bfloat16": 2, "float32": 4}


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder of the Qwen3 architecture."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    intermediate: int
    vocabulary: int = 151_936
    tied: bool = True
    """Input and output embedding are one matrix."""
    stores_head: bool = False
    """The published files hold the tied matrix twice."""

    @property
    def embedding(self) -> int:
        """Parameters of one embedding matrix."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All of them."""
        attention = self.hidden * self.head_size * (2 * self.heads + 2 * self.kv_heads) + 2 * self.head_size
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.layers * layer + self.hidden + self.embedding * (1 if self.tied else 2)

    @property
    def published(self) -> int:
        """Parameters in the published files."""
        return self.parameters + (self.embedding if self.stores_head else 0)

    def cache_bytes(self, dtype: str) -> int:
        """Keys and values of one token."""
        return 2 * self.layers * self.kv_heads * self.head_size * BYTES[dtype]


QWEN3 = {
    "Qwen/Qwen3-0.6B": Shape(1024, 28, 16, 8, 128, 3072, stores_head=True),
    "Qwen/Qwen3-1.7B": Shape(2048, 28, 16, 8, 128, 6144, stores_head=True),
    "Qwen/Qwen3-4B": Shape(2560, 36, 32, 8, 128, 9728),
    "Qwen/Qwen3-8B": Shape(4096, 36, 32, 8, 128, 12_288, tied=False),
    "Qwen/Qwen3-14B": Shape(5120, 40, 40, 8, 128, 17_408, tied=False),
}
"""From the models' config.json."""


def shape_of(model: HubModel | TinyModel) -> Shape:
    """The shape of a model that a profile names.

    Raises:
        ConfigError: a hub model that is not in the table.
    """
    if isinstance(model, TinyModel):
        return Shape(model.hidden_size, model.layers, model.heads, model.kv_heads, model.hidden_size // model.heads,
                     model.intermediate_size, vocabulary=TINY_VOCABULARY)
    if model.id not in QWEN3:
        raise ConfigError(f"no shape of {model.id} is known: add a row to QWEN3 in "
                          f"src/relayllm/commands/model_shapes.py; there are {', '.join(QWEN3)}")
    return QWEN3[model.id]


def zero_bytes(parameters: int, stage: int, processes: int, dtype: str) -> float:
    """Weights, gradients and AdamW's states per GPU under ZeRO (arXiv 1910.02054, section 3.1).

    In bfloat16: 2 bytes of weight, 2 of gradient, 12 of float32 weight and two moments per parameter.
    """
    weight, gradient, states = (2, 2, 12) if dtype == "bfloat16" else (4, 4, 8)
    return parameters * sum(size / (processes if stage >= shared_from else 1)
                            for size, shared_from in ((weight, 3), (gradient, 2), (states, 1)))


def activation_bytes(shape: Shape, rows: int, tokens: int, dtype: str) -> float:
    """Activations of one micro-batch: a hidden state per layer (the rest is computed again in the backward pass),
    one layer in full, and the logits with their gradient in float32."""
    size = BYTES[dtype]
    inside = 8 * shape.hidden + 2 * (shape.heads + shape.kv_heads) * shape.head_size + 4 * shape.intermediate
    return rows * tokens * (size * (shape.layers * shape.hidden + inside) + 8 * shape.vocabulary)
