"""A transformers model in this process that continues many rows at once, each with its key-value cache."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from relayllm.engines import attention
from relayllm.engines.cache import SlotCache
from relayllm.engines.sampling import Sampler
from relayllm.relay.engine import Ask, Said

READ_AT_ONCE = 2048
"""Tokens of one reading forward at most, padding included: bounds its memory."""


class LocalEngine:
    """Implements `relay.engine.Engine` over any causal LM of transformers that takes a cache and rotary positions."""

    def __init__(self, model: Any, *, name: str, ends: Iterable[int], columns: Sequence[int] | None = None,
                 banned: Sequence[int] = ()) -> None:
        self.name, self.ends = name, frozenset(ends)
        self.model = model
        self._body = getattr(model, model.base_model_prefix)
        self._head = model.get_output_embeddings()
        self._device = next(model.parameters()).device
        self.cache = SlotCache(model.config.get_text_config(), self._device, next(model.parameters()).dtype)
        rows_of_logits = self._head.weight.shape[0]
        self._sampler = Sampler(columns, [token for token in banned if token < rows_of_logits], self._device)
        self._slot: dict[int, int] = {}
        self._length: dict[int, int] = {}
        self._holder: list[int | None] = []
        self._next = 0
        self.forward_seconds = 0.0
        """Wall time inside model forwards since the engine was made."""
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
    def say(self, asks: Sequence[Ask], *, entropy: bool = False) -> Said:
        """Read what is fresh of every ask and say one token for each."""
        started = time.perf_counter()
        said = Said([0] * len(asks), [0.0] * len(asks), [0.0] * len(asks) if entropy else [],
                    tops=[()] * len(asks) if any(ask.top for ask in asks) else [])
        with self._own_attention():
            single = [i for i, ask in enumerate(asks) if len(ask.fresh) == 1 and self._length[ask.row]]
            if single:
                self._answer(single, self._decode([asks[i] for i in single]), asks, said, entropy)
            for group in self._reading_groups(asks, set(single)):
                self._answer(group, self._read([asks[i] for i in group]), asks, said, entropy)
        said.seconds = time.perf_counter() - started
        return said

    def _answer(self, indices: list[int], logits: torch.Tensor, asks: Sequence[Ask], said: Said,
                entropy: bool) -> None:
        tokens, logprobs, entropies, tops = self._sampler.sample(logits, [asks[i] for i in indices], entropy=entropy)
        for place, index in enumerate(indices):
            said.tokens[index], said.logprobs[index] = tokens[place], logprobs[place]
            if entropy:
                said.entropies[index] = entropies[place]
            if tops:
                said.tops[index] = tops[place]

    def _decode(self, asks: list[Ask]) -> torch.Tensor:
        """One new token per row, rows in the first slots: logits (rows, V)."""
        self._to_front([ask.row for ask in asks])
        asks_by_slot = sorted(range(len(asks)), key=lambda i: self._slot[asks[i].row])
        rows = [asks[i].row for i in asks_by_slot]
        starts = [self._length[row] for row in rows]
        positions = torch.tensor(starts, device=self._device)[:, None]  # (rows, 1)
        ids = torch.tensor([asks[i].fresh for i in asks_by_slot], device=self._device)  # (rows, 1)
        seen = max(starts) + 1
        mask = None
        if min(starts) + 1 < seen:
            mask = (torch.arange(seen, device=self._device) <= positions)[:, None, None]  # (rows, 1, 1, keys)
        self.cache.reserve(len(self._holder), seen)
        self.cache.prepare([self._slot[row] for row in rows], starts, 1)
        logits = self._forward(ids, positions, mask, None)
        for row in rows:
            self._length[row] += 1
        if asks_by_slot == list(range(len(asks))):
            return logits
        back = torch.tensor(asks_by_slot, device=self._device).argsort()
        return logits[back]

    def _read(self, asks: list[Ask]) -> torch.Tensor:
        """Several new tokens per row; fresh rows with the same prompt are read once. Logits (rows, V)."""
        leaders: dict[Any, int] = {}
        for index, ask in enumerate(asks):
            leaders.setdefault(index if self._length[ask.row] else tuple(ask.fresh), index)
        which = list(leaders.values())
        logits = self._read_distinct([asks[i] for i in which])
        place = {index: at for at, index in enumerate(which)}
        sources: list[int] = []
        for index, ask in enumerate(asks):
            if index in place:
                sources.append(place[index])
                continue
            leader = leaders[tuple(ask.fresh)]
            self.cache.copy(self._slot[asks[leader].row], self._slot[ask.row], len(ask.fresh))
            self._length[ask.row] = len(ask.fresh)
            sources.append(place[leader])
        return logits if len(which) == len(asks) else logits[torch.tensor(sources, device=self._device)]

    def _read_distinct(self, asks: list[Ask]) -> torch.Tensor:
        tokens = max(len(ask.fresh) for ask in asks)
        starts = [self._length[ask.row] for ask in asks]
        begin = torch.tensor(starts, device=self._device)[:, None]  # (rows, 1)
        positions = begin + torch.arange(tokens, device=self._device)  # (rows, tokens)
        ids = torch.tensor([ask.fresh + [0] * (tokens - len(ask.fresh)) for ask in asks], device=self._device)
        keys = torch.arange(max(starts) + tokens, device=self._device)
        mask = (keys <= positions[:, :, None])[:, None]  # (rows, 1, tokens, keys)
        self.cache.reserve(len(self._holder), max(starts) + tokens)
        self.cache.prepare([self._slot[ask.row] for ask in asks], starts, tokens)
        last = torch.tensor([len(ask.fresh) - 1 for ask in asks], device=self._device)
        logits = self._forward(ids, positions, mask, last)
        for ask in asks:
            self._length[ask.row] += len(ask.fresh)
        return logits

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None,
                 last: torch.Tensor | None) -> torch.Tensor:
        started = time.perf_counter()
        hidden = self._body(input_ids=ids, position_ids=positions, attention_mask=mask, past_key_values=self.cache,
                            use_cache=True).last_hidden_state  # (rows, tokens, width)
        chosen = hidden[:, -1] if last is None else hidden[torch.arange(len(last), device=self._device), last]
        logits = self._head(chosen)  # (rows, V)
        self.forward_seconds += time.perf_counter() - started
        return logits

    def _reading_groups(self, asks: Sequence[Ask], done: set[int]) -> Iterator[list[int]]:
        """Rows with much to read, of similar length side by side, bounded in memory."""
        waiting = sorted((i for i in range(len(asks)) if i not in done), key=lambda i: len(asks[i].fresh))
        group: list[int] = []
        for index in waiting:
            size = len(asks[index].fresh)
            if group and ((len(group) + 1) * size > READ_AT_ONCE or size > 2 * len(asks[group[0]].fresh) + 32):
                yield group
                group = []
            group.append(index)
        if group:
            yield group

    def _to_front(self, rows: list[int]) -> None:
        """Move these rows to the first slots."""
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
    def _own_attention(self) -> Iterator[None]:
        """The model may be one that is being trained, with another attention outside of here."""
        config = self.model.config
        before = config._attn_implementation
        config._attn_implementation = attention.NAME
        try:
            yield
        finally:
            config._attn_implementation = before
