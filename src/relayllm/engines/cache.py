"""Key-value caches for many rows of ragged length in one pair of tensors per layer.

A row owns a slot. The rows of a decode step are kept in the first slots, so that attention reads views and copies
nothing; a slot that is freed is filled by moving the last row that is in use. transformers models see this object
as their cache: they call `update` once per layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from relayllm.engines.pack import Pack

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

BLOCK = 64
"""A cache that grows does so by multiples of this many tokens: growing copies."""


class SlotCache:
    """Keys and values, per layer (slots, kv_heads, capacity, head_dim)."""

    is_compileable = False

    def __init__(self, config: PreTrainedConfig, device: torch.device, dtype: torch.dtype) -> None:
        self._layers = config.num_hidden_layers
        self._heads = config.num_key_value_heads
        self._dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self._device, self.dtype = device, dtype
        self.slots = self.capacity = 0
        """What every layer has; after memory ended while they grew, some have more."""
        self.moves = 0
        """How often tensors have moved."""
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self.pack: Pack | None = None
        """What the next forward is about."""

    def bytes(self) -> int:
        """Memory of the tensors."""
        return sum(2 * tensor.numel() * tensor.element_size() for tensor in self.keys)

    def reserve(self, slots: int, tokens: int) -> None:
        """Grow to at least this size, layer by layer; contents stay, also when memory ends on the way."""
        slots = max(slots, self.slots)
        unit = BLOCK if self.capacity else 8  # what is asked for first is what will be needed, as a rule
        capacity = self.capacity if tokens <= self.capacity else -(-tokens // unit) * unit
        if (slots, capacity) == (self.slots, self.capacity):
            return
        self.moves += 1
        for side in (self.keys, self.values):
            for layer in range(self._layers):
                # zeros, not empty: a masked key still takes part in a product, and NaN times nothing is NaN
                grown = torch.zeros(slots, self._heads, capacity, self._dim, device=self._device, dtype=self.dtype)
                if layer < len(side):
                    grown[:self.slots, :, :self.capacity] = side[layer][:self.slots, :, :self.capacity]
                    side[layer] = grown
                else:
                    side.append(grown)
        self.slots, self.capacity = slots, capacity

    def update(self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: object,
               **__: object) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new keys and values (1, kv_heads, padded, head_dim); return all of this layer's."""
        return self._put(self.keys[layer], keys), self._put(self.values[layer], values)

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Copy a row's first tokens to another slot."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :, :tokens] = tensor[source, :, :tokens]

    def swap(self, one: int, other: int, tokens: int) -> None:
        """Exchange two rows: in all layers, or in none when memory ends."""
        kept = torch.empty_like(self.keys[0][one, :, :tokens])
        for tensor in (*self.keys, *self.values):
            kept.copy_(tensor[one, :, :tokens])
            tensor[one, :, :tokens] = tensor[other, :, :tokens]
            tensor[other, :, :tokens] = kept

    def _put(self, store: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        pack = self.pack
        assert pack is not None
        if pack.stretch is not None:  # a slice is written several times as fast
            store[pack.parts[0].slot, :, pack.stretch] = new[0, :, :pack.tokens]
        else:
            slots, places = pack.slots[:pack.tokens], pack.positions[0, :pack.tokens]
            store[slots, :, places] = new[0, :, :pack.tokens].transpose(0, 1)  # (tokens, kv_heads, head_dim)
        return store
