"""Sizes of models by formula: parameters, bytes and floating-point operations, without loading anything."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from relayllm.config import HubModel, LocalModel, LoraConfig, ModelSource, TinyModel
from relayllm.engines.checkpoints.gguf import read_config
from relayllm.errors import ConfigError

TINY_VOCABULARY = 700
"""About what the tiny world's tokenizer knows."""
LOGITS_AT_ONCE = 1 << 26
"""Logits that exist at one time while training; more are computed in chunks and again in the backward pass."""
BYTES = {"bfloat16": 2, "float32": 4}


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder like Qwen3, Qwen2 or Llama."""

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
    qk_norm: bool = True
    """Queries and keys are normalised (Qwen3)."""
    qkv_bias: bool = False
    """Their projections have a bias (Qwen2)."""
    context: int = 0
    """Tokens it can read; 0 where nobody says."""

    @property
    def embedding(self) -> int:
        """Parameters of one embedding matrix."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """Number of all parameters."""
        attention = self.hidden * self.head_size * (2 * self.heads + 2 * self.kv_heads)
        attention += self.head_size * (2 * self.qk_norm + (self.heads + 2 * self.kv_heads) * self.qkv_bias)
        layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        return self.layers * layer + self.hidden + self.embedding * (1 if self.tied else 2)

    @property
    def published(self) -> int:
        """Parameters in the published files."""
        return self.parameters + (self.embedding if self.stores_head else 0)

    def adapter(self, lora: LoraConfig) -> int:
        """Trained parameters of an adapter: two thin matrices per target, and the two command rows of each table."""
        q, kv = self.heads * self.head_size, self.kv_heads * self.head_size
        sides = {"q_proj": self.hidden + q, "k_proj": self.hidden + kv, "v_proj": self.hidden + kv,
                 "o_proj": q + self.hidden, "gate_proj": self.hidden + self.intermediate,
                 "up_proj": self.hidden + self.intermediate, "down_proj": self.intermediate + self.hidden}
        chosen = sides if isinstance(lora.target_modules, str) else lora.target_modules
        rows = 2 * self.hidden * (1 if self.tied else 2) * lora.command_rows
        return self.layers * lora.rank * sum(sides.get(name, 0) for name in chosen) + rows

    def cache_bytes(self, dtype: str) -> int:
        """Bytes of the keys and values of one token."""
        return 2 * self.layers * self.kv_heads * self.head_size * BYTES[dtype]


PUBLISHED = {
    "Qwen/Qwen3-0.6B": Shape(1024, 28, 16, 8, 128, 3072, stores_head=True),
    "Qwen/Qwen3-1.7B": Shape(2048, 28, 16, 8, 128, 6144, stores_head=True),
    "Qwen/Qwen3-4B": Shape(2560, 36, 32, 8, 128, 9728),
    "Qwen/Qwen3-8B": Shape(4096, 36, 32, 8, 128, 12_288, tied=False),
    "Qwen/Qwen3-14B": Shape(5120, 40, 40, 8, 128, 17_408, tied=False),
    "Qwen/Qwen2.5-0.5B-Instruct": Shape(896, 24, 14, 2, 64, 4864, qk_norm=False, qkv_bias=True),
    "Qwen/Qwen2.5-1.5B-Instruct": Shape(1536, 28, 12, 2, 128, 8960, qk_norm=False, qkv_bias=True),
}
"""From the models' config.json."""


def shape_of(model: ModelSource, root: Path = Path()) -> Shape:
    """The shape of a model that a profile names; a local one is read from its config.json, or its GGUF file.

    Raises:
        ConfigError: a hub model that is not in the table, or a local one that describes no decoder like these.
        ModelError: a GGUF file that is damaged, or the package gguf is missing.
    """
    if isinstance(model, TinyModel):
        return Shape(model.hidden_size, model.layers, model.heads, model.kv_heads, model.hidden_size // model.heads,
                     model.intermediate_size, vocabulary=TINY_VOCABULARY)
    if isinstance(model, LocalModel):
        return local_shape(root / Path(model.path).expanduser())
    assert isinstance(model, HubModel)
    if model.id not in PUBLISHED:
        raise ConfigError(f"no shape of {model.id} is known: add a row to PUBLISHED in "
                          f"src/relayllm/engines/checkpoints/model_shapes.py; there are {', '.join(PUBLISHED)}")
    return PUBLISHED[model.id]


def local_shape(path: Path) -> Shape:
    """The shape of the model in a folder or a GGUF file.

    Raises:
        ConfigError, ModelError: see `shape_of`.
    """
    packed = [path] if path.is_file() else sorted(path.glob("*.gguf"))
    if (path / "config.json").is_file() or len(packed) != 1:
        return folder_shape(path)
    return _packed_shape(packed[0], packed[0].stat().st_mtime_ns)


@lru_cache
def _packed_shape(file: Path, _changed: int) -> Shape:
    """Kept, since a file's vocabulary takes seconds to read."""
    try:
        return _shape(read_config(file))
    except KeyError as error:
        raise ConfigError(f"{file} has no {error}: it describes no decoder like Qwen or Llama") from error


def folder_shape(folder: Path) -> Shape:
    """The shape of the model in a folder, by its config.json; no weights are read.

    Raises:
        ConfigError: there is no config.json, or it does not describe a decoder like these.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ConfigError(f"no {path}: put the model's folder, or its GGUF file, there")
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return _shape(config.get("text_config") or config)
    except KeyError as error:
        raise ConfigError(f"{path} has no {error}: it describes no decoder like Qwen or Llama") from error
    except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
        raise ConfigError(f"{path} describes no decoder like Qwen or Llama ({error}): take the model's own "
                          "config.json") from error


def _shape(config: Mapping[str, Any]) -> Shape:
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    return Shape(hidden, config["num_hidden_layers"], heads, config.get("num_key_value_heads") or heads,
                 config.get("head_dim") or hidden // heads, config["intermediate_size"], config["vocab_size"],
                 tied=bool(config.get("tie_word_embeddings", False)), qk_norm=config["model_type"] == "qwen3",
                 qkv_bias=bool(config.get("attention_bias", config["model_type"] == "qwen2")),
                 context=config.get("max_position_embeddings") or 0)


def zero_bytes(parameters: int, stage: int, processes: int, dtype: str) -> float:
    """Weights, gradients and AdamW's states per GPU under ZeRO (arXiv 1910.02054, section 3.1).

    In bfloat16: 2 bytes of weight, 2 of gradient, 12 of float32 weight and two moments per parameter.
    """
    weight, gradient, states = (2, 2, 12) if dtype == "bfloat16" else (4, 4, 8)
    return parameters * sum(size / (processes if stage >= shared_from else 1)
                            for size, shared_from in ((weight, 3), (gradient, 2), (states, 1)))


def activation_bytes(shape: Shape, rows: int, tokens: int, dtype: str) -> float:
    """Activations of one micro-batch: a hidden state per layer (the rest is computed again in the backward pass),
    one layer in full, and as many logits as exist at one time, thrice in float32."""
    size = BYTES[dtype]
    inside = 8 * shape.hidden + 2 * (shape.heads + shape.kv_heads) * shape.head_size + 4 * shape.intermediate
    logits = min(rows * tokens * shape.vocabulary, LOGITS_AT_ONCE)
    return rows * tokens * size * (shape.layers * shape.hidden + inside) + 12 * logits


def lora_bytes(shape: Shape, lora: LoraConfig, dtype: str) -> float:
    """Frozen weights, the adapter in float32 with gradient and AdamW's moments, and with command rows a copy and a
    gradient of each table, which peft makes at every forward."""
    tables = shape.embedding * (1 if shape.tied else 2) * lora.command_rows
    return shape.parameters * BYTES[dtype] + 16 * shape.adapter(lora) + 2 * tables * BYTES[dtype]
