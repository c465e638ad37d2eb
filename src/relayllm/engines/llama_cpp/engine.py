"""A GGUF model that continues many rows at once, a sequence of llama.cpp for each."""

from __future__ import annotations

import ctypes
import time
import weakref
from collections.abc import Iterable, Sequence
from itertools import accumulate
from types import ModuleType
from typing import Any

import numpy as np
import torch

from relayllm.engines.llama_cpp.library import last_error, library
from relayllm.engines.llama_cpp.model import GgufModel
from relayllm.engines.sampling import Sampler
from relayllm.errors import ConfigError, ModelError
from relayllm.relay.engine import StepInput, StepOutput

BATCH = 2048
"""Tokens of one `llama_decode` at most: bounds its memory."""
UNIT = 256
"""Llama.cpp's caches have multiples of this many tokens for a sequence."""


class LlamaCppEngine:
    """Implements `relay.engine.Engine` over a GGUF model.

    What a row has read is remembered as tokens: when more rows or longer ones need larger caches, they are made anew
    and read again.
    """

    def __init__(self, model: GgufModel, *, name: str, ends: Iterable[int], columns: Sequence[int] | None = None,
                 banned: Sequence[int] = ()) -> None:
        self.name, self.ends = name, frozenset(ends)
        self.model, self._api = model, library()
        self._sampler = Sampler(columns, [token for token in banned if token < model.scored_tokens],
                                torch.device("cpu"))
        self._slot: dict[int, int] = {}
        self._tokens: dict[int, list[int]] = {}
        self._holder: list[int | None] = []
        self._next = 0
        self._rows = self._capacity = 0
        self._context: Any = None
        self._batch = Batch(self._api)

    def open(self) -> int:
        """Give a new row the first free sequence."""
        self._next += 1
        slot = self._holder.index(None) if None in self._holder else len(self._holder)
        if slot == len(self._holder):
            self._holder.append(None)
        self._holder[slot] = self._next
        self._slot[self._next], self._tokens[self._next] = slot, []
        return self._next

    def close(self, row: int) -> None:
        """Free a row's sequence."""
        slot = self._slot.pop(row)
        self._holder[slot] = None
        del self._tokens[row]
        if self._context is not None and slot < self._rows:
            self._forget(slot)

    def length(self, row: int) -> int:
        """Tokens in a row's cache."""
        return len(self._tokens[row])

    def reserve(self, rows: int, tokens: int) -> None:
        """Make room for so many rows of so many tokens; what rows have read is read again.

        Raises:
            ConfigError: llama.cpp does not take so many rows.
            ModelError: there is no memory for them.
        """
        rows, tokens = max(rows, self._rows), -(-max(tokens, self._capacity) // UNIT) * UNIT
        if (rows, tokens) == (self._rows, self._capacity):
            return
        most = int(self._api.llama_max_parallel_sequences())
        if rows > most:
            raise ConfigError(f"{rows} rows side by side, and llama.cpp takes {most}: give fewer slots")
        self._drop()  # the old caches go before the new ones come
        self._context = self._new_context(rows, tokens)
        self._rows, self._capacity = rows, tokens
        known = [(self._slot[row], read) for row, read in self._tokens.items() if read]
        self._decode(known, [0] * len(known), [()] * len(known))

    def step(self, inputs: Sequence[StepInput], *, entropy: bool = False) -> StepOutput:
        """Read the new tokens of every input and sample one token for each.

        Raises:
            ConfigError: an input has a probe: llama.cpp keeps its hidden states to itself.
        """
        started = time.perf_counter()
        if any(item.probe for item in inputs):
            raise ConfigError(f"{self.name} is a GGUF model, whose hidden states cannot be read: learned routers need "
                              "the model as a folder that transformers reads")
        self._make_room(inputs)
        starts = [len(self._tokens[item.row]) for item in inputs]
        wanted = [range(len(item.token_ids) - 1 - item.score, len(item.token_ids)) for item in inputs]
        logits = self._decode([(self._slot[item.row], item.token_ids) for item in inputs], starts, wanted)
        for item in inputs:
            self._tokens[item.row] += item.token_ids
        ends = list(accumulate(len(places) for places in wanted))
        scores = self._scores(logits, inputs, ends) if any(item.score for item in inputs) else []
        last = logits if len(logits) == len(inputs) else logits[torch.tensor(ends) - 1]  # (rows, V)
        tokens, logprobs, entropies, tops = self._sampler.sample(last, inputs, entropy=entropy)
        return StepOutput(tokens, logprobs, entropies, time.perf_counter() - started, tops, scores)

    def _make_room(self, inputs: Sequence[StepInput]) -> None:
        longest = max(len(self._tokens[item.row]) + len(item.token_ids) for item in inputs)
        if longest > self._capacity:
            longest = min(max(longest, 2 * self._capacity), max(longest, self.model.context_length))
        self.reserve(len(self._holder), longest)

    def _scores(self, logits: torch.Tensor, inputs: Sequence[StepInput],
                ends: Sequence[int]) -> list[tuple[float, ...]]:
        """Log-probabilities of each input's last tokens, each told by the token before it."""
        places = [end - 1 - back for item, end in zip(inputs, ends, strict=True) for back in range(item.score, 0, -1)]
        targets = [token for item in inputs if item.score for token in item.token_ids[-item.score:]]
        found = iter(self._sampler.score(logits[torch.tensor(places)], torch.tensor(targets)))
        return [tuple(next(found) for _ in range(item.score)) for item in inputs]

    def _decode(self, rows: Sequence[tuple[int, Sequence[int]]], starts: Sequence[int],
                wanted: Sequence[Sequence[int]]) -> torch.Tensor:
        """Read tokens of many (slot, tokens); logits at the wanted places of each, in order: (places, V)."""
        threads = torch.get_num_threads()
        self._api.llama_set_n_threads(self._context.pointer, threads, threads)
        ids = np.concatenate([np.asarray(tokens, np.int32) for _, tokens in rows] or [np.zeros(0, np.int32)])
        at = np.concatenate([np.arange(start, start + len(tokens), dtype=np.int32)
                             for start, (_, tokens) in zip(starts, rows, strict=True)] or [ids])
        slots = np.repeat(np.asarray([slot for slot, _ in rows], np.int32), [len(tokens) for _, tokens in rows])
        flags = np.zeros(len(ids), np.int8)
        begin = 0
        for (_, tokens), places in zip(rows, wanted, strict=True):
            flags[[begin + place for place in places]] = 1
            begin += len(tokens)
        batches = range(0, len(ids), BATCH)
        parts = [self._decode_part(ids[i:i + BATCH], at[i:i + BATCH], slots[i:i + BATCH], flags[i:i + BATCH],
                                   keep=len(batches) > 1) for i in batches]
        return parts[0] if len(parts) == 1 else torch.cat(parts) if parts else torch.empty(0)

    def _decode_part(self, ids: np.ndarray, at: np.ndarray, slots: np.ndarray, flags: np.ndarray, *,
                     keep: bool) -> torch.Tensor:
        """Logits (flags set, V): llama.cpp's own memory, which its next forward writes over, or a copy to `keep`."""
        code = self._api.llama_decode(self._context.pointer, self._batch.filled(ids, at, slots, flags))
        if code:
            self._drop()
            raise ModelError(f"llama.cpp could not read {len(ids)} tokens of {self.name} (code {code}): {last_error()}")
        rows = int(flags.sum())
        shape = (rows, self.model.scored_tokens)
        if not rows:
            return torch.empty(shape)
        found = ctypes.cast(self._api.llama_get_logits(self._context.pointer), ctypes.POINTER(ctypes.c_float))
        logits = torch.from_numpy(np.ctypeslib.as_array(found, shape=shape))
        return logits.clone() if keep else logits

    def _new_context(self, rows: int, tokens: int) -> Context:
        api, params = self._api, self._api.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.n_batch = rows * tokens, rows, BATCH
        params.n_threads = params.n_threads_batch = torch.get_num_threads()
        if self.model.exact:
            params.type_k = params.type_v = api.GGML_TYPE_F32
            params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        pointer = api.llama_init_from_model(self.model.pointer, params)
        if not pointer:
            raise ModelError(f"llama.cpp has no room for {rows} rows of {tokens} tokens of {self.name}: {last_error()}"
                             "; give fewer slots or a smaller --max-context")
        return Context(api, pointer)

    def _drop(self) -> None:
        """Let go of all caches; whoever steps next reads again what its row has read."""
        self._context, self._rows, self._capacity = None, 0, 0

    def _forget(self, slot: int) -> None:
        self._api.llama_memory_seq_rm(self._api.llama_get_memory(self._context.pointer), slot, -1, -1)


class Context:
    """A context of llama.cpp, freed when nobody holds it."""

    def __init__(self, api: ModuleType, pointer: Any) -> None:
        self.pointer = pointer
        weakref.finalize(self, api.llama_free, pointer)


class Batch:
    """The C structure of a batch over arrays of our own, which numpy fills at once."""

    def __init__(self, api: ModuleType) -> None:
        self._ids, self._at, self._slots = (np.zeros(BATCH, np.int32) for _ in range(3))
        self._flags, self._ones = np.zeros(BATCH, np.int8), np.ones(BATCH, np.int32)
        self._pointers = self._slots.ctypes.data + 4 * np.arange(BATCH, dtype=np.uintp)
        self._struct = api.llama_batch(
            0, _pointer(self._ids, ctypes.c_int32), None, _pointer(self._at, ctypes.c_int32),
            _pointer(self._ones, ctypes.c_int32), _pointer(self._pointers, ctypes.POINTER(ctypes.c_int32)),
            _pointer(self._flags, ctypes.c_int8))

    def filled(self, ids: np.ndarray, at: np.ndarray, slots: np.ndarray, flags: np.ndarray) -> ctypes.Structure:
        """The structure with these tokens, their positions, their sequences, and whether logits are wanted."""
        size = self._struct.n_tokens = len(ids)
        self._ids[:size], self._at[:size], self._slots[:size], self._flags[:size] = ids, at, slots, flags
        return self._struct


def _pointer(array: np.ndarray, kind: type) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(kind))
