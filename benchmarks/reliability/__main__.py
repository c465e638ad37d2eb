"""`python -m benchmarks.reliability [NAME ...] --json FILE`: run the trials, and keep each one's figures as it ends.

A trial whose figures stand in FILE is not run again, so a run that was cut off goes on with the next one; `kills` goes
on with the kills that are left. Exit code 1 when a trial found what must not be.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from relayllm.files import write_json

TRIALS = {"patterns": 10_000, "hostile": 10_000, "teacher": 100, "soak": 100_000, "together": 1, "disk": 1, "kills": 50}
"""Name of a module beside this one, with `run(count, folder)`; how often it is done."""


def main() -> int:
    """Run the trials that were asked for, and write the figures of each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TRIALS)}; default: all")
    parser.add_argument("--json", type=Path, default=Path("runs/reliability.json"), help="where the figures are kept")
    parser.add_argument("--share", type=float, default=1.0, help="of each count: 0.01 for a quick look")
    arguments = parser.parse_args()
    known: dict[str, Any] = json.loads(arguments.json.read_text()) if arguments.json.is_file() else {}
    for name in arguments.names or TRIALS:
        if name not in TRIALS:
            parser.error(f"no trial {name!r}: there are {', '.join(TRIALS)}")
        left = known.get(name, {"left": max(1, round(TRIALS[name] * arguments.share))}).get("left", 0)
        for found in _figures(name, left):
            known[name] = added(known.get(name, {}), found)
            write_json(arguments.json, known)
        print(f"{name}: {json.dumps(known[name])}", flush=True)
    return int(any(found["faults"] for found in known.values()))


def _figures(name: str, left: int) -> Iterator[dict[str, Any]]:
    """Run a trial until it leaves nothing to do; its figures of each time."""
    trial = importlib.import_module(f"benchmarks.reliability.{name}")
    with tempfile.TemporaryDirectory(prefix=f"relay-{name}-") as folder:
        while left:
            started = time.monotonic()
            found = trial.run(left, Path(folder))
            left = found.get("left", 0)
            yield {**found, "seconds": round(time.monotonic() - started)}


def added(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Figures of a trial that takes several times; what is left is what the last time left."""
    return {name: value if name == "left" or name not in before else before[name] + value
            for name, value in now.items()}


if __name__ == "__main__":
    sys.exit(main())
