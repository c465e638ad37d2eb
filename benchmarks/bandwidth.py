"""A decode step beside what the memory allows: weights and caches must be read once, at the speed of a copy."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.measures import Measure, Size
from benchmarks.timing import Took, clock, median
from benchmarks.work import FIRST_WORD
from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.local import LocalEngine
from relayllm.relay.command import ALL_DIGITS
from relayllm.relay.engine import StepInput

COPIED = 1 << 28
"""Bytes: more than any processor's cache."""


def decode_steps(decoder: RelayDecoder, size: Size, words: int) -> dict[str, Measure]:
    """Both models, with ordinary steps and with static ones (graphs on CUDA), against the copy bandwidth."""
    found: dict[str, Measure] = {}
    models = {"student": decoder.student.model,  # type: ignore[attr-defined]
              "teacher": decoder.teacher.engine.model}  # type: ignore[union-attr]
    for role, model in models.items():
        bandwidth = copy_bandwidth(model.device)
        took = _take_turns(model, size, words)
        read = weights_read(model) + cache_read(model, size.rows, sum(size.prompt) // 2 + size.scan // 2)
        seconds = {name: median(runs) for name, runs in took.items()}
        found[f"static_steps_{role}"] = Measure(
            seconds["ordinary"] / seconds["static"], None,
            f"decode step of the {role}: time of an ordinary one / of a static one (a graph on CUDA)")
        found[f"decode_step_{role}"] = Measure(
            read / bandwidth / min(seconds.values()), None,
            f"decode step of the {role}, {size.rows} rows: time at memory bandwidth / time",
            details={"seconds": seconds, "bytes_read": read, "copy_bytes_per_second": bandwidth, "rows": size.rows,
                     "graphs": model.device.type == "cuda"})
    return found


def copy_bandwidth(device: torch.device) -> float:
    """Bytes read and written per second by a large copy."""
    source = torch.ones(COPIED, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * COPIED / statistics.median(clock(lambda: target.copy_(source)).wall for _ in range(7))


def weights_read(model: Any) -> int:
    """Bytes of the weights of a decode step: all but an embedding that is only looked up."""
    looked_up = model.get_input_embeddings().weight
    tied = looked_up is model.get_output_embeddings().weight
    return sum(each.numel() * each.element_size() for each in model.parameters() if tied or each is not looked_up)


def cache_read(model: Any, rows: int, keys: int) -> int:
    """Bytes of keys and values of a decode step, by formula."""
    config = model.config.get_text_config()
    return 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * rows * keys * (
        model.dtype.itemsize)


def _take_turns(model: Any, size: Size, words: int) -> dict[str, list[Took]]:
    """Steps of an engine of each kind, one after the other."""
    prompt = [random.Random(0).randrange(FIRST_WORD, words) for _ in range(sum(size.prompt) // 2)]
    engines = {name: LocalEngine(model, name=name, ends=(), cuda_graphs=name == "static")
               for name in ("ordinary", "static")}
    rows, tokens = {}, {}
    for name, engine in engines.items():
        engine.reserve(size.rows, len(prompt) + size.scan + 2)
        rows[name] = [engine.open() for _ in range(size.rows)]
        tokens[name] = _step(engine, rows[name], [prompt] * size.rows)  # one prompt: read once, copied
        tokens[name] = _step(engine, rows[name], [[token] for token in tokens[name]])  # shapes are made, graphs too
    took: dict[str, list[Took]] = {name: [] for name in engines}
    for _ in range(size.scan):
        for name, engine in engines.items():
            pending = [[token] for token in tokens[name]]
            took[name].append(clock(lambda engine=engine, name=name, ids=pending: _step(engine, rows[name], ids)))
            tokens[name] = took[name][-1].result
    return took


def _step(engine: LocalEngine, rows: Sequence[int], pending: Sequence[list[int]]) -> list[int]:
    return engine.step([StepInput(row, ids, ALL_DIGITS) for row, ids in zip(rows, pending, strict=True)]).tokens
