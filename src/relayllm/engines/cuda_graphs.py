"""Decode steps of fixed shape over buffers of fixed address: on CUDA each shape is captured once and replayed.

A step of one token per row launches hundreds of small kernels; a graph launches them as one. Rows are bucketed to
powers of two and keys to `KEYS`, so that few shapes come up. On the CPU the same step runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from relayllm.engines.cache import SlotCache
from relayllm.engines.pack import Pack, Part

KEYS = 256
"""Keys are bucketed to multiples of this, four blocks of the cache: a capture costs more than reading masked keys."""


class CudaGraphs:
    """One step per bucket, made when it is first needed; all of them again when the cache has moved."""

    def __init__(self, logits_of: Callable[[Pack], torch.Tensor], cache: SlotCache, device: torch.device) -> None:
        self._logits_of, self._cache, self._device = logits_of, cache, device
        self._steps: dict[tuple[int, int], _Step] = {}
        self._moves = 0

    def logits(self, tokens: Sequence[int], starts: Sequence[int], others: Sequence[int]) -> torch.Tensor:
        """Logits (rows, V) after one more token of each of the rows in the first slots.

        `starts` are their cached tokens, `others` those of the slots behind. Where the bucket has more rows than are
        asked for, a slot behind writes to its own next place, which nobody reads before it is written again.
        """
        rows = rows_of(len(tokens))
        behind = [*others, *[0] * rows][:rows - len(tokens)]
        self._cache.reserve(rows, max(*starts, *behind, 0) + 1)
        if self._moves != self._cache.moves:
            self._steps, self._moves = {}, self._cache.moves
        keys = min(-(-(max(starts) + 1) // KEYS) * KEYS, self._cache.capacity)
        if (rows, keys) not in self._steps:
            self._steps[rows, keys] = _Step(rows, keys, self._logits_of, self._cache.dtype, self._device)
        return self._steps[rows, keys].run([*tokens, *[0] * len(behind)], [*starts, *behind])[:len(tokens)]


class _Step:
    """One shape: its buffers, and on CUDA its graph."""

    def __init__(self, rows: int, keys: int, logits_of: Callable[[Pack], torch.Tensor], dtype: torch.dtype,
                 device: torch.device) -> None:
        self._logits_of = logits_of
        self._table = torch.zeros(2, rows, dtype=torch.long, device=device)  # ids, positions
        self._keys = torch.arange(keys, device=device)
        self._mask = torch.zeros(rows, 1, 1, keys, dtype=dtype, device=device)
        each = torch.arange(rows, device=device)
        self._pack = Pack(self._table[:1], self._table[1:], each, rows, each,
                          (Part(0, 0, rows, 1, keys, self._mask),))
        self._graph: torch.cuda.CUDAGraph | None = None
        self._out: torch.Tensor | None = None

    def run(self, ids: Sequence[int], positions: Sequence[int]) -> torch.Tensor:
        """Logits (rows, V); on CUDA they are a buffer that the next run writes over."""
        self._table.copy_(torch.tensor([ids, positions]))
        if self._table.device.type != "cuda":
            return self._compute()
        if self._graph is None or self._out is None:
            self._graph, self._out = self._captured()
        self._graph.replay()
        return self._out

    def _compute(self) -> torch.Tensor:
        later = self._keys > self._pack.positions[0, :, None]  # (rows, keys)
        self._mask.zero_().masked_fill_(later[:, None, None], -torch.inf)
        return self._logits_of(self._pack)

    def _captured(self) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        """Run twice aside, so that libraries have made what they need (it writes the same each time), then record."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):
                self._compute()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = self._compute()
        return graph, out


def rows_of(rows: int) -> int:
    """The power of two that has room for so many."""
    return 1 << (rows - 1).bit_length()
