"""A student and a teacher of random weights, Qwen3 architecture, with a vocabulary between them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from relayllm.engines.commands import add_command_tokens
from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.loading import DTYPES

CONTEXT = 4096


@dataclass(frozen=True)
class ModelSize:
    """What matters of an architecture for speed."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    inner: int
    head_dim: int = 64


@dataclass(frozen=True)
class Pair:
    """Two shapes and what they have in common."""

    student: ModelSize
    teacher: ModelSize
    words: int
    dtype: torch.dtype
    device: str = "cpu"


CPU = Pair(ModelSize(384, 7, 6, 2, 1152), ModelSize(1024, 13, 16, 8, 3072), 32000, torch.float32)
"""25 and 200 million parameters."""
GPU = Pair(ModelSize(1024, 28, 16, 8, 3072, 128), ModelSize(4096, 36, 32, 8, 12288, 128), 151900, torch.bfloat16,
           "cuda")
"""Qwen3-0.6B and Qwen3-8B."""
SMALL = Pair(ModelSize(64, 2, 4, 2, 128, 16), ModelSize(96, 2, 4, 2, 192, 16), 500, torch.float32)
"""For tests of the benchmark itself."""
PAIRS = {"cpu": CPU, "gpu": GPU, "small": SMALL}


def pair_of(name: str, dtype: str, device: str | None) -> Pair:
    """The pair of that name, in another type, and on another device where one is named."""
    return replace(PAIRS[name], dtype=DTYPES[dtype], device=device or PAIRS[name].device)


def make_tokenizer(words: int) -> Any:
    """A token per word; digits are words of their own."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<end>", *"0123456789", *(f"w{index}" for index in range(words))]
    core = Tokenizer(models.WordLevel({name: index for index, name in enumerate(names)}, unk_token="<pad>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<end>")


def make_model(shape: ModelSize, size: int, pair: Pair, seed: int) -> Any:
    """Random weights; nothing that it writes ends a text."""
    import transformers

    torch.manual_seed(seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(pair.dtype)  # made in its final type: no second copy in memory
    try:
        with torch.device(pair.device):
            return transformers.Qwen3ForCausalLM(make_config(shape, size)).eval()
    finally:
        torch.set_default_dtype(before)


def make_config(shape: ModelSize, size: int, **more: Any) -> Any:
    """The configuration of a shape with `size` words."""
    import transformers

    return transformers.Qwen3Config(
        vocab_size=size, hidden_size=shape.width, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, intermediate_size=shape.inner, head_dim=shape.head_dim,
        max_position_embeddings=CONTEXT, tie_word_embeddings=shape.width < 4096, eos_token_id=None, bos_token_id=None,
        pad_token_id=0, **more)


def make_decoder(pair: Pair) -> RelayDecoder:
    """The pair in a decoder, its ends taken away: answers are as long as they are told to be."""
    import copy

    theirs = make_tokenizer(pair.words)
    ours = copy.deepcopy(theirs)
    teacher = make_model(pair.teacher, len(theirs), pair, seed=2)
    student = make_model(pair.student, len(theirs) + 2, pair, seed=1)
    add_command_tokens(student, ours)
    decoder = RelayDecoder.from_models(student, ours, teacher, theirs)
    decoder.student.ends = frozenset()
    decoder.teacher.engine.ends = frozenset()  # type: ignore[union-attr]
    return decoder


def parameters(model: Any) -> int:
    """How many weights, tied ones once."""
    return sum(tensor.numel() for tensor in model.parameters())


def weight_bytes(model: Any) -> int:
    """Memory of the weights, tied ones once."""
    return sum(tensor.numel() * tensor.element_size() for tensor in model.parameters())


def cache_bytes(shape: ModelSize, rows: int, tokens: int, pair: Pair) -> int:
    """Keys and values of so many rows, by formula."""
    return 2 * shape.layers * shape.kv_heads * shape.head_dim * rows * tokens * pair.dtype.itemsize
