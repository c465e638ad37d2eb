"""Relay steps over llama.cpp beside a bare loop over the same file: `python -m benchmarks.llama_cpp MODEL.gguf`.

The loop does nothing but `llama_decode` and argmax. Both write as many tokens for as many rows from the same prompt and
take turns; the median of the rounds' ratios counts.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.timing import Took, machine, median, ratio, side_by_side
from relayllm import RelayDecoder
from relayllm.engines.llama_cpp.library import library

PROMPT, TOKENS, GOAL = 96, 64, 0.9
ROWS = (1, 16, 32)


def main() -> None:
    """Measure, print a line for each number of rows, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a .gguf file")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    decoder = RelayDecoder.from_pretrained(given.model)
    decoder.student.ends = frozenset()  # answers are as long as they are told to be
    found: dict[str, Any] = {"machine": machine(), "model": given.model.name, "rows": {}}
    for rows in ROWS:
        runs = {"bare": partial(bare, decoder, rows), "relay": partial(relay, decoder, rows)}
        took = side_by_side(runs, given.repeats)
        found["rows"][rows] = figures(took, rows)
        print(line(rows, found["rows"][rows]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def figures(took: dict[str, list[Took]], rows: int) -> dict[str, float]:
    """Tokens per second of both, and the relay's share of the loop's."""
    speeds = {name: round(rows * TOKENS / median(runs), 1) for name, runs in took.items()}
    return {**speeds, "share": round(ratio(took["bare"], took["relay"]), 3)}


def line(rows: int, found: dict[str, float]) -> str:
    """One row of the table."""
    verdict = "ok" if found["share"] >= GOAL else "MISSED"
    return (f"{rows:3} rows: bare loop {found['bare']:7.1f} tokens/s, relay {found['relay']:7.1f}, share "
            f"{found['share']:.3f} (aim {GOAL}) {verdict}")


def relay(decoder: RelayDecoder, rows: int) -> None:
    """The decoder does its whole work over the file: scheduler, grammar, sampler, ledger."""
    decoder.generate([prompt()] * rows, slots=rows, max_new_tokens=TOKENS, max_calls=0)


def prompt() -> list[int]:
    """Token ids; which ones does not matter."""
    return [5 + position % 200 for position in range(PROMPT)]


def bare(decoder: RelayDecoder, rows: int) -> None:
    """Read the prompt for every row and write tokens, in a context of its own size."""
    api, model = library(), decoder.student.model
    params = api.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_seq_max = 256 * rows, 2048, rows
    params.n_threads = params.n_threads_batch = torch.get_num_threads()
    context = api.llama_init_from_model(model.pointer, params)
    batch = api.llama_batch_init(2048, 0, 1)
    try:
        last = [step(api, context, batch, [(token, at, row) for at, token in enumerate(prompt())], model)[-1]
                for row in range(rows)]
        for at in range(PROMPT, PROMPT + TOKENS - 1):
            last = step(api, context, batch, [(last[row], at, row) for row in range(rows)], model)
    finally:
        api.llama_batch_free(batch)
        api.llama_free(context)


def step(api: Any, context: Any, batch: Any, items: list[tuple[int, int, int]], model: Any) -> list[int]:
    """One forward over (token, position, row) in the batch; the likeliest next token of each row."""
    batch.n_tokens = len(items)
    rows = {row: place for place, (_, _, row) in enumerate(items)}
    for place, (token, at, row) in enumerate(items):
        batch.token[place], batch.pos[place], batch.n_seq_id[place] = token, at, 1
        batch.seq_id[place][0], batch.logits[place] = row, int(rows[row] == place)
    if api.llama_decode(context, batch):
        raise RuntimeError("llama_decode failed")
    size = model.scored_tokens
    return [int(np.ctypeslib.as_array(ctypes.cast(api.llama_get_logits_ith(context, place),
                                                  ctypes.POINTER(ctypes.c_float)), shape=(size,)).argmax())
            for place in rows.values()]


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
