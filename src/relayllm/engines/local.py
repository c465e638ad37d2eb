"""A transformers model in this process that continues many rows at once, each with its key-value cache."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch

from relayllm.engines import attention
from relayllm.engines.architecture import check_architecture
from relayllm.engines.cache import SlotCache
from relayllm.engines.cuda_graphs import CudaGraphs
from relayllm.engines.pack import Masks, Pack, Reading, packed
from relayllm.engines.sampling import Sampler
from relayllm.errors import ConfigError
from relayllm.relay.engine import StepInput, StepOutput
from relayllm.relay.protocols import CausalLM

READ_AT_ONCE = 1024
"""Tokens of one forward at most, except that one row is read whole: bounds its memory. Matrix products are as fast per
token from 512 on."""

SCORED_AT_ONCE = 256
"""Positions whose logits are held at once: a row of logits is as wide as the vocabulary."""


class LocalEngine:
    """Implements `relay.engine.Engine` over a causal LM of transformers.

    The model takes a cache and position ids, attends to all that came before through transformers' attention interface,
    and its logits are what its head gives: Llama, Qwen2, Qwen3 and their like. `check_architecture` refuses windows,
    caps and scales.
    """

    def __init__(self, model: CausalLM, *, name: str, ends: Iterable[int], columns: Sequence[int] | None = None,
                 banned: Sequence[int] = (), cuda_graphs: bool = False) -> None:
        """Wrap a model that stays where it is, and give it key-value caches of its own.

        Raises:
            ModelError: its architecture would be decoded wrongly.
        """
        config = model.config.get_text_config()
        check_architecture(config, name, (parameter for parameter, _ in model.named_parameters()))
        self.name, self.ends = name, frozenset(ends)
        self.model = model
        self._body = getattr(model, model.base_model_prefix)
        self._head = model.get_output_embeddings()
        self._device = next(model.parameters()).device
        self.cache = SlotCache(config, self._device, next(model.parameters()).dtype)
        self._masks = Masks(config.num_attention_heads // config.num_key_value_heads, self.cache.dtype, self._device)
        rows_of_logits = scored_tokens(model)
        self._sampler = Sampler(columns, [token for token in banned if token < rows_of_logits], self._device)
        self._cuda_graphs = CudaGraphs(self._logits, self.cache, self._device) if cuda_graphs else None
        self._slot: dict[int, int] = {}
        self._length: dict[int, int] = {}
        self._holder: list[int | None] = []
        self._next = 0
        self.measuring = False
        """Whether forwards are timed. On CUDA each is then waited for, or only its launch would count; that costs a
        step the overlap with sampling's launches, so only those pay for it who ask."""
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
    def step(self, inputs: Sequence[StepInput], *, entropy: bool = False) -> StepOutput:
        """Read the new tokens of every input and sample one token for each."""
        started = time.perf_counter()
        output = StepOutput([0] * len(inputs), [0.0] * len(inputs), [0.0] * len(inputs) if entropy else [],
                            tops=[()] * len(inputs) if any(item.top for item in inputs) else [],
                            scores=[()] * len(inputs) if any(item.score for item in inputs) else [])
        shared_prompts = self._shared_prompts(inputs)
        with self._own_attention():
            for group in _bounded([*shared_prompts], inputs):
                logits, scores, readouts = self._read([inputs[i] for i in group])
                for leader, found in zip(group, scores, strict=False):
                    for index in shared_prompts[leader]:
                        output.scores[index] = found
                for leader in group:
                    self._copy(inputs[leader], [inputs[i] for i in shared_prompts[leader][1:]])
                sources = [place for place, leader in enumerate(group) for _ in shared_prompts[leader]]
                if len(sources) > len(group):
                    logits = logits[torch.tensor(sources, device=self._device)]
                self._answer([i for leader in group for i in shared_prompts[leader]], logits, inputs, output, entropy)
                for leader, readout in zip(group, readouts if entropy else (), strict=False):
                    for index in shared_prompts[leader]:
                        output.entropies[index] = readout
        output.seconds = time.perf_counter() - started
        return output

    def _shared_prompts(self, inputs: Sequence[StepInput]) -> dict[int, list[int]]:
        """Each input that is read, with those that ask the same: new rows of one prompt are read once."""
        leaders: dict[Hashable, int] = {}
        shared_prompts: dict[int, list[int]] = {}
        for index, item in enumerate(inputs):
            leader = leaders.setdefault(
                index if self._length[item.row] else (item.score, item.probe, tuple(item.token_ids)), index)
            shared_prompts.setdefault(leader, []).append(index)
        return shared_prompts

    def _copy(self, leader: StepInput, followers: Sequence[StepInput]) -> None:
        for item in followers:
            self.cache.copy(self._slot[leader.row], self._slot[item.row], len(leader.token_ids))
            self._length[item.row] = len(leader.token_ids)

    def _answer(self, indices: list[int], logits: torch.Tensor, inputs: Sequence[StepInput], output: StepOutput,
                entropy: bool) -> None:
        tokens, logprobs, entropies, tops = self._sampler.sample(logits, [inputs[i] for i in indices], entropy=entropy)
        for place, index in enumerate(indices):
            output.tokens[index], output.logprobs[index] = tokens[place], logprobs[place]
            if entropy:
                output.entropies[index] = entropies[place]
            if tops:
                output.tops[index] = tops[place]

    def _read(self, inputs: Sequence[StepInput]) -> tuple[torch.Tensor, list[tuple[float, ...]], list[float]]:
        """Read the new tokens of all these rows in one forward; logits (rows, V), scores and readouts as asked for."""
        scores: list[tuple[float, ...]] = []
        readouts: list[float] = []
        probed = any(item.probe for item in inputs)
        self.cache.reserve(len(self._holder), max(self._length[item.row] + len(item.token_ids) for item in inputs))
        self._to_front([item.row for item in inputs if len(item.token_ids) == 1])
        if self._cuda_graphs is not None and not probed and all(len(item.token_ids) == 1 for item in inputs):
            logits = self._graph_step(inputs, self._cuda_graphs)
        else:
            readings = [Reading(self._slot[item.row], self._length[item.row], item.token_ids) for item in inputs]
            pack = packed(readings, self._masks)
            with self._timed():
                hidden = self._hidden(pack)
                logits = self._head(hidden[pack.last])  # (rows, V)
                if any(item.score for item in inputs):
                    scores = self._scores(hidden, pack, inputs)
                if probed:
                    readouts = self._readouts(hidden[pack.last], inputs)
        for item in inputs:
            self._length[item.row] += len(item.token_ids)
        return logits, scores, readouts

    def _readouts(self, hidden: torch.Tensor, inputs: Sequence[StepInput]) -> list[float]:
        """Each row's probe on its hidden state (rows, width); the probes of a batch must be one.

        Raises:
            ConfigError: they are several, or of another width than the model's.
        """
        probes = {item.probe for item in inputs}
        if len(probes) > 1 or len(inputs[0].probe) != hidden.shape[1] + 1:
            sizes = ", ".join(str(len(one)) for one in probes)
            raise ConfigError(f"{self.name} has states of {hidden.shape[1]} numbers, the batch has {len(probes)} "
                              f"probes of {sizes}: give every row the same, a weight for each number and a bias")
        *weights, bias = inputs[0].probe
        values = hidden.float() @ torch.tensor(weights, device=hidden.device) + bias  # (rows,)
        return [float(value) for value in values.double().tolist()]

    def _scores(self, hidden: torch.Tensor, pack: Pack, inputs: Sequence[StepInput]) -> list[tuple[float, ...]]:
        """Log-probabilities of each input's last tokens, each told by the token before it."""
        ends = pack.last.tolist()
        places = [end - back for item, end in zip(inputs, ends, strict=True) for back in range(item.score, 0, -1)]
        found: list[float] = []
        for start in range(0, len(places), SCORED_AT_ONCE):
            at = torch.tensor(places[start:start + SCORED_AT_ONCE], device=self._device)
            found += self._sampler.score(self._head(hidden[at]), pack.ids[0, at + 1])
        rest = iter(found)
        return [tuple(next(rest) for _ in range(item.score)) for item in inputs]

    def _graph_step(self, inputs: Sequence[StepInput], graphs: CudaGraphs) -> torch.Tensor:
        """One token of each row, in slot order; logits in the order of the inputs."""
        order = sorted(inputs, key=lambda item: self._slot[item.row])
        others = [0 if row is None else self._length[row] for row in self._holder[len(inputs):]]
        with self._timed():
            logits = graphs.logits([item.token_ids[0] for item in order], [self._length[item.row] for item in order],
                                   others)
        return logits[torch.tensor([self._slot[item.row] for item in inputs], device=self._device)]

    def _logits(self, pack: Pack) -> torch.Tensor:
        return self._head(self._hidden(pack)[pack.last])  # type: ignore[no-any-return]  # (rows, V)

    def _hidden(self, pack: Pack) -> torch.Tensor:
        self.cache.pack = pack
        return self._body(input_ids=pack.ids, position_ids=pack.positions, past_key_values=self.cache,  # type: ignore[no-any-return]
                          use_cache=True, pack=pack).last_hidden_state[0]  # (padded, width)

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


def scored_tokens(model: CausalLM) -> int:
    """How many tokens a model's head scores; an int8 head (`engines.int8`) has no weight to look at."""
    head = model.get_output_embeddings()
    return int(head.weight.shape[0] if hasattr(head, "weight") else head.out_features)


def _bounded(indices: list[int], inputs: Sequence[StepInput]) -> Iterator[list[int]]:
    """Few forwards, each of a bounded number of tokens: single tokens first, together."""
    group: list[int] = []
    size = 0
    for index in sorted(indices, key=lambda i: len(inputs[i].token_ids)):
        size += len(inputs[index].token_ids)
        if group and size > READ_AT_ONCE and len(inputs[index].token_ids) > 1:
            yield group
            group, size = [], len(inputs[index].token_ids)
        group.append(index)
    if group:
        yield group
