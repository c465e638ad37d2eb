"""`python -m benchmarks.gpu`: run every part that the file does not hold yet, then print the table."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.gpu.parts import NAMES, Setup, parts_of
from benchmarks.gpu.results import Results
from benchmarks.gpu.running import run_parts
from benchmarks.gpu.table import table


def main(argv: list[str] | None = None) -> int:
    """Measure, keep, print. Exit code 1 when a part has failed or had no time; what is not here is no fault."""
    given = _arguments(argv)
    setup = Setup(given.pair, given.device, given.dtype, given.quick)
    results = Results(given.json, setup)
    chosen = [replace(part, seconds=round(part.seconds * given.patience)) for part in parts_of(setup)
              if part.name in given.only]
    run_parts(chosen, setup, results, seconds=60 * given.minutes)
    print(table(results))
    return int(any(results.status(part.name) not in ("done", "not here") for part in chosen))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description=__doc__)
    add = parser.add_argument
    add("--json", type=Path, default=Path("runs/gpu.json"), help="where the results are kept, and found again")
    add("--minutes", type=float, default=25.0, help="what has not begun by then waits for another run")
    add("--patience", type=float, default=1.0, help="times the seconds that each part may take: on a busy machine")
    add("--pair", choices=("gpu", "cpu", "small"), default="gpu", help="shapes; gpu: Qwen3-0.6B and Qwen3-8B")
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    add("--quick", action="store_true", help="a tenth of the work: does it run?")
    add("--only", nargs="+", choices=NAMES, default=NAMES, metavar="PART", help=f"of {', '.join(NAMES)}")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
