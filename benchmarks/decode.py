"""Time the decoder side by side with what it must beat: `python benchmarks/decode.py --json FILE`.

Every number is a ratio of runs that took turns on the same machine, the median of five rounds or more.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # started as a file

import torch

from benchmarks import bandwidth, measures, memory, models
from benchmarks.measures import Measure, Size
from benchmarks.models import Pair
from benchmarks.timing import machine, multiplies_bfloat16
from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.loading import DTYPES

GROUPS: dict[str, Callable[[RelayDecoder, Size, int], dict[str, Measure]]] = {
    "one_row": measures.one_row, "hand_over": measures.hand_over, "rows": measures.rows,
    "roll_outs": measures.roll_outs, "many_rows": measures.many_rows, "decode_steps": bandwidth.decode_steps}


def main(argv: list[str] | None = None) -> None:
    """Measure, print a table, write the JSON."""
    given = _arguments(argv)
    torch.set_num_threads(given.threads)
    pair = models.pair_of(given.pair, given.dtype, given.device)
    size = measures.scaled(measures.QUICK if given.quick else measures.FULL, given.repeats)
    started = time.perf_counter()
    before = machine()
    found: dict[str, Measure] = {}
    for name, measure in _measures(given, pair, size):
        found[name] = measure
        print(_line(name, measure), flush=True)
        result = report(found, pair, size, before, time.perf_counter() - started)
        if given.json:  # each time: what was measured is kept when the rest is cut off
            given.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if given.plot and "tokens_per_second_by_rows" in found:
        from benchmarks.plot import plot_rows

        plot_rows(result, given.plot)


def report(found: dict[str, Measure], pair: Pair, size: Size, before: dict[str, Any],
           seconds: float) -> dict[str, Any]:
    """What the JSON holds."""
    sizes = {role: models.parameters(models.make_model(shape, pair.words + 14, replace(pair, device="meta"), 0))
             for role, shape in (("student", pair.student), ("teacher", pair.teacher))}
    return {
        "measures": {name: {"value": one.value, "goal": one.goal, "at_most": one.at_most, "reached": one.reached,
                            "what": one.what, "details": dict(one.details or {})} for name, one in found.items()},
        "machine": {**before, "load_average_after": machine()["load_average"]},
        "models": {"student_parameters": sizes["student"], "teacher_parameters": sizes["teacher"],
                   "dtype": str(pair.dtype).removeprefix("torch."), "device": pair.device},
        "repeats": size.repeats, "seconds": round(seconds, 1)}


def _measures(given: argparse.Namespace, pair: Pair, size: Size) -> Iterator[tuple[str, Measure]]:
    if "memory" in given.only:
        yield from memory.peak(given.pair, given.dtype, pair.device, given.threads, given.quick).items()
    if set(given.only) & set(GROUPS):
        decoder = models.make_decoder(pair)
        for name in (name for name in GROUPS if name in given.only):
            yield from GROUPS[name](decoder, size, pair.words).items()


def _line(name: str, one: Measure) -> str:
    sign = "<=" if one.at_most else ">="
    goal = "" if one.goal is None else f"{sign} {one.goal}"
    verdict = {None: "", True: "ok", False: "MISSED"}[one.reached]
    return f"{name:32} {one.value:7.3f}  {goal:8} {verdict:7} {one.what}"


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cuda = torch.cuda.is_available()
    parser.add_argument("--json", type=Path, help="write the measures here")
    parser.add_argument("--plot", type=Path, help="draw tokens/s against rows here")
    parser.add_argument("--pair", choices=models.PAIRS, default="gpu" if cuda else "cpu", help="models, by shape")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: the pair's own")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16" if cuda or multiplies_bfloat16() else "float32",
                        help="without the instructions for it, a processor is slower in bfloat16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="1 on a machine that is busy")
    parser.add_argument("--repeats", type=int, help="rounds; the median counts")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: does it run?")
    parser.add_argument("--only", nargs="+", choices=["memory", *GROUPS], default=["memory", *GROUPS])
    return parser.parse_args(argv)


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
