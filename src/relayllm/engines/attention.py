"""Attention over the slot caches, part by part of a pack: grouped heads without copying keys."""

from __future__ import annotations

import torch
from torch.nn.functional import scaled_dot_product_attention

from relayllm.engines.pack import Pack, Part
from relayllm.errors import ModelError

NAME = "relay"
WITHOUT_EFFECT = {"dropout", "sliding_window", "use_cache", "position_ids"}
"""Arguments that layers hand over and that change nothing here: no dropout while decoding, windows are refused by
`check_architecture` where they are shorter than what can be read, the pack knows positions and causality."""


def attend(module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
           attention_mask: torch.Tensor | None, scaling: float | None = None, *, pack: Pack,
           **others: object) -> tuple[torch.Tensor, None]:
    """Scaled dot-product attention.

    Raises:
        ModelError: the layer asks for something that this attention does not do.

    query (1, heads, padded, dim); key, value: all of a layer, (slots, kv_heads, capacity, dim). Returns
    (1, padded, heads, dim), zero where the pack is padding.
    """
    strange = [name for name, value in others.items() if value is not None and name not in WITHOUT_EFFECT]
    if strange:
        raise ModelError(f"{type(module).__name__} hands {', '.join(strange)} to its attention, and the relay's own "
                         "knows nothing of that: its tokens would be wrong. Let an OpenAI-compatible server run this "
                         "model")
    query = query[0].transpose(0, 1)  # (padded, heads, dim)
    if len(pack.parts) == 1 and pack.tokens == len(query):
        return _part(query, key, value, pack.parts[0], scaling)[None], None
    out = torch.zeros(query.shape, dtype=query.dtype, device=query.device)
    for part in pack.parts:
        chosen = slice(part.begin, part.begin + part.rows * part.tokens)
        out[chosen] = _part(query[chosen], key, value, part, scaling)
    return out[None], None


def _part(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, part: Part,
          scaling: float | None) -> torch.Tensor:
    """The heads of one group stand side by side as further queries, so keys need not be repeated for them."""
    heads, dim = query.shape[1:]
    rows, tokens = part.rows, part.tokens
    grouped = query.reshape(rows, tokens, heads, dim).transpose(1, 2).reshape(
        rows, key.shape[1], heads // key.shape[1] * tokens, dim)
    chosen = slice(part.slot, part.slot + rows)
    out = scaled_dot_product_attention(grouped, key[chosen, :, :part.seen], value[chosen, :, :part.seen],
                                       attn_mask=part.mask, scale=scaling)
    return out.reshape(rows, heads, tokens, dim).transpose(1, 2).reshape(rows * tokens, heads, dim)


def register() -> None:
    """Register `attend` with transformers under its name. It has no mask function: masks come with the pack."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
