"""A transformers model in this process that continues many rows at once, each with its key-value cache."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from relayllm.engines import attention
from relayllm.engines.architecture import check_architecture
from relayllm.engines.cache import SlotCache
from relayllm.engines.cuda_graphs import CudaGraphs
from relayllm.engines.pack import Masks, Pack, Reading, packed
from relayllm.engines.sampling import Sampler
from relayllm.relay.engine import StepInput, StepOutput

READ_AT_ONCE = 1024
"""Tokens of one forward at most, except that one row is read whole: bounds its memory. Matrix products are as fast per
token from 512 on."""


class LocalEngine:
    """Implements `relay.engine.Engine` over a causal LM of transformers.

    The model takes a cache and position ids, attends to all that came before through transformers' attention interface,
    and its logits are what its head gives: Llama, Qwen2, Qwen3 and their like. `check_architecture` refuses windows,
    caps and scales.
    """

    def __init__(self, model: Any, *, name: str, ends: Iterable[int], columns: Sequence[int] | None = None,
                 banned: Sequence[int] = (), static_steps: bool = False) -> None:
        """Take a model.

        Raises:
            ModelError: its architecture would be decoded wrongly.
        """
        config = model.config.get_text_config()
        check_architecture(config, name)
        self.name, self.ends = name, frozenset(ends)
        self.model = model
        self._body = getattr(model, model.base_model_prefix)
        self._head = model.get_output_embeddings()
        self._device = next(model.parameters()).device
        self.cache = SlotCache(config, self._device, next(model.parameters()).dtype)
        self._masks = Masks(config.num_attention_heads // config.num_key_value_heads, self.cache.dtype, self._device)
        rows_of_logits = self._head.weight.shape[0]
        self._sampler = Sampler(columns, [token for token in banned if token < rows_of_logits], self._device)
        self._static = CudaGraphs(self._logits, self.cache, self._device) if static_steps else None
        self._slot: dict[int, int] = {}
        self._length: dict[int, int] = {}
        self._holder: list[int | None] = []
        self._next = 0
        self.measuring = False
        """Whether forwards are timed. On CUDA each is then waited for, or only its launch would count; that costs a
        step the overlap with sampling's launches, so nobody pays for it who does not ask."""
        self.forward_seconds = 0.0
        """Wall time inside model forwards while `measuring`."""
        attention.register()

    def open(self) -> int:
        """Give a new row the first free slot."""
        self._next += 1
        slot = self._holder.index(None) if None in self._holder else len(self._holder)
        if slot == len(self._holder):
            self._holder.append(None)
        self._holder[slot] = self._next
        self._slot[self._next], self._length[self._next] = slot, 0
        return self._next

    def close(self, row: int) -> None:
        """Free a row's slot."""
        self._holder[self._slot.pop(row)] = None
        del self._length[row]

    def length(self, row: int) -> int:
        """Tokens in a row's cache."""
        return self._length[row]

    def reserve(self, rows: int, tokens: int) -> None:
        """Make room for so many rows of so many tokens."""
        self.cache.reserve(rows, tokens)

    @torch.inference_mode()
    def say(self, asks: Sequence[StepInput], *, entropy: bool = False) -> StepOutput:
        """Read what is fresh of every ask and say one token for each."""
        started = time.perf_counter()
        said = StepOutput([0] * len(asks), [0.0] * len(asks), [0.0] * len(asks) if entropy else [],
                    tops=[()] * len(asks) if any(ask.top for ask in asks) else [])
        twins = self._twins(asks)
        with self._own_attention():
            for group in _bounded([*twins], asks):
                logits = self._read([asks[i] for i in group])
                for leader in group:
                    self._copy(asks[leader], [asks[i] for i in twins[leader][1:]])
                sources = [place for place, leader in enumerate(group) for _ in twins[leader]]
                if len(sources) > len(group):
                    logits = logits[torch.tensor(sources, device=self._device)]
                self._answer([i for leader in group for i in twins[leader]], logits, asks, said, entropy)
        said.seconds = time.perf_counter() - started
        return said

    def _twins(self, asks: Sequence[StepInput]) -> dict[int, list[int]]:
        """Each ask that is read, and those that ask the same: fresh rows of one prompt are read once."""
        leaders: dict[Any, int] = {}
        twins: dict[int, list[int]] = {}
        for index, ask in enumerate(asks):
            leader = leaders.setdefault(index if self._length[ask.row] else tuple(ask.fresh), index)
            twins.setdefault(leader, []).append(index)
        return twins

    def _copy(self, leader: StepInput, twins: Sequence[StepInput]) -> None:
        for ask in twins:
            self.cache.copy(self._slot[leader.row], self._slot[ask.row], len(leader.fresh))
            self._length[ask.row] = len(leader.fresh)

    def _answer(self, indices: list[int], logits: torch.Tensor, asks: Sequence[StepInput], said: StepOutput,
                entropy: bool) -> None:
        tokens, logprobs, entropies, tops = self._sampler.sample(logits, [asks[i] for i in indices], entropy=entropy)
        for place, index in enumerate(indices):
            said.tokens[index], said.logprobs[index] = tokens[place], logprobs[place]
            if entropy:
                said.entropies[index] = entropies[place]
            if tops:
                said.tops[index] = tops[place]

    def _read(self, asks: Sequence[StepInput]) -> torch.Tensor:
        """What is fresh of all these rows, in one forward; logits (rows, V)."""
        self.cache.reserve(len(self._holder), max(self._length[ask.row] + len(ask.fresh) for ask in asks))
        self._to_front([ask.row for ask in asks if len(ask.fresh) == 1])
        if self._static is not None and all(len(ask.fresh) == 1 for ask in asks):
            logits = self._step(asks, self._static)
        else:
            readings = [Reading(self._slot[ask.row], self._length[ask.row], ask.fresh) for ask in asks]
            pack = packed(readings, self._masks)
            with self._timed():
                logits = self._logits(pack)
        for ask in asks:
            self._length[ask.row] += len(ask.fresh)
        return logits

    def _step(self, asks: Sequence[StepInput], static: CudaGraphs) -> torch.Tensor:
        """One token of each row, in slot order; logits in the order of the asks."""
        order = sorted(asks, key=lambda ask: self._slot[ask.row])
        others = [0 if row is None else self._length[row] for row in self._holder[len(asks):]]
        with self._timed():
            logits = static.logits([ask.fresh[0] for ask in order], [self._length[ask.row] for ask in order], others)
        return logits[torch.tensor([self._slot[ask.row] for ask in asks], device=self._device)]

    def _logits(self, pack: Pack) -> torch.Tensor:
        self.cache.pack = pack
        hidden = self._body(input_ids=pack.ids, position_ids=pack.positions, past_key_values=self.cache,
                            use_cache=True, pack=pack).last_hidden_state  # (1, padded, width)
        return self._head(hidden[0, pack.last])  # (rows, V)

    def _to_front(self, rows: list[int]) -> None:
        """Move these rows to the first slots; the cache must have a slot for every row."""
        wanted = set(rows)
        away = [row for row in rows if self._slot[row] >= len(rows)]
        for slot in range(len(rows)) if away else ():
            holder = self._holder[slot]
            if holder in wanted:
                continue
            row = away.pop()
            source, size = self._slot[row], self._length[row]
            if holder is None:
                self.cache.copy(source, slot, size)
            else:
                self.cache.swap(source, slot, max(size, self._length[holder]))
                self._slot[holder] = source
            self._holder[source], self._holder[slot], self._slot[row] = holder, row, slot

    @contextmanager
    def _timed(self) -> Iterator[None]:
        if not self.measuring:
            yield
            return
        self._settle()  # what was queued before is no part of the forward
        started = time.perf_counter()
        yield
        self._settle()
        self.forward_seconds += time.perf_counter() - started

    def _settle(self) -> None:
        """Wait for the device; a CPU is never behind."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    @contextmanager
    def _own_attention(self) -> Iterator[None]:
        """The model may be one that is being trained, with another attention outside of here."""
        config = self.model.config
        before = config._attn_implementation
        config._attn_implementation = attention.NAME
        try:
            yield
        finally:
            config._attn_implementation = before


def _bounded(indices: list[int], asks: Sequence[StepInput]) -> Iterator[list[int]]:
    """Few forwards, each of a bounded number of tokens: single tokens first, together."""
    group: list[int] = []
    size = 0
    for index in sorted(indices, key=lambda i: len(asks[i].fresh)):
        size += len(asks[index].fresh)
        if group and size > READ_AT_ONCE and len(asks[index].fresh) > 1:
            yield group
            group, size = [], len(asks[index].fresh)
        group.append(index)
    if group:
        yield group
