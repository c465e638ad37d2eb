"""One forward over tokens of many rows side by side: no row is padded to the length of another.

Everything in a transformer but attention works token by token. So the new tokens of all rows stand one after the other
in a single sequence, whether a row brings one or a whole prompt, and the weights are read once for all of them. Only
attention knows rows: it goes part by part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that attend in one call: as many new tokens each, their slots side by side."""

    begin: int
    """Where the tokens begin in the pack; row by row."""
    slot: int
    """The first row's."""
    rows: int
    tokens: int
    """Of each row."""
    seen: int
    """Keys that attention reads: of the longest row, its new tokens included."""
    mask: torch.Tensor | None = None
    """What is added to the scores, (rows, 1, groups * tokens, seen); None where all keys are every query's."""


@dataclass(frozen=True, slots=True)
class Pack:
    """What one forward reads, where it writes, and how it attends."""

    ids: torch.Tensor
    """(1, padded)"""
    positions: torch.Tensor
    """(1, padded)"""
    slots: torch.Tensor
    """Of every token: (padded,)"""
    tokens: int
    """Without the padding at the end."""
    last: torch.Tensor
    """Where the logits of each row's next token stand: (rows,)"""
    parts: tuple[Part, ...]
    stretch: slice | None = None
    """Where a single row writes in its slot; None: token by token, at their positions."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One row's share of a forward."""

    slot: int
    start: int
    """Tokens of it that are cached."""
    token_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class Masks:
    """Makes the masks of parts: for queries of `groups` heads side by side, in the type of the scores."""

    groups: int
    dtype: torch.dtype
    device: torch.device

    def ragged(self, starts: Sequence[int], positions: torch.Tensor) -> torch.Tensor | None:
        """Mask of a part with one new token per row, (rows, 1, 1, keys); None where all rows have read as many."""
        seen = max(starts) + 1
        if min(starts) + 1 == seen:
            return None
        return self.until(positions, seen)[:, None, None]  # (rows, 1, 1, seen)

    def causal(self, start: int, positions: torch.Tensor) -> torch.Tensor:
        """Causal mask of a part with several new tokens of one row, (1, 1, groups x tokens, keys)."""
        mask = self.until(positions, start + len(positions))  # (tokens, seen)
        return mask.repeat(self.groups, 1)[None, None]

    def until(self, positions: torch.Tensor, seen: int) -> torch.Tensor:
        """0 for keys up to each position, else minus infinity: (positions, seen)."""
        later = torch.arange(seen, device=self.device) > positions[:, None]
        return torch.zeros(later.shape, dtype=self.dtype, device=self.device).masked_fill_(later, -torch.inf)


def padded(tokens: int) -> int:
    """A length with two binary digits after the first: few lengths come up, and 9 % are added on average.

    On a CPU each length costs a compiled kernel per matrix shape, which stays in memory.
    """
    unit = 1 << max(0, tokens.bit_length() - 3)
    return -(-tokens // unit) * unit


def packed(readings: Sequence[Reading], masks: Masks) -> Pack:
    """Lay rows out: first those with a single token, which must be in the first slots in order, then the others."""
    order = sorted(range(len(readings)), key=lambda i: (len(readings[i].token_ids) > 1, readings[i].slot))
    rows = [readings[i] for i in order]
    size = sum(len(row.token_ids) for row in rows)
    rest = [0] * (padded(size) - size)
    ids = [token for row in rows for token in row.token_ids] + rest
    positions = [at for row in rows for at in range(row.start, row.start + len(row.token_ids))] + rest
    slots = [row.slot for row in rows for _ in row.token_ids] + rest
    table = torch.tensor([ids, positions, slots], device=masks.device)  # (3, padded): one copy to the device
    ends, end = [0] * len(rows), 0
    for place, row in zip(order, rows, strict=True):
        end += len(row.token_ids)
        ends[place] = end - 1
    stretch = slice(rows[0].start, rows[0].start + size) if len(rows) == 1 else None
    return Pack(table[:1], table[1:2], table[2], size, torch.tensor(ends, device=masks.device),
                tuple(_parts(rows, table[1], masks)), stretch)


def _parts(rows: Sequence[Reading], positions: torch.Tensor, masks: Masks) -> list[Part]:
    single = [row.start for row in rows if len(row.token_ids) == 1]
    parts = []
    if single:
        mask = masks.ragged(single, positions[:len(single)])
        parts.append(Part(0, rows[0].slot, len(single), 1, max(single) + 1, mask))
    begin = len(single)
    for row in rows[begin:]:
        size = len(row.token_ids)
        mask = masks.causal(row.start, positions[begin:begin + size])
        parts.append(Part(begin, row.slot, 1, size, row.start + size, mask))
        begin += size
    return parts
