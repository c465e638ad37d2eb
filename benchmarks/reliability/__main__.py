"""`python -m benchmarks.reliability [NAME ...] --json FILE`: run the trials, and keep each one's figures as it ends.

A trial whose figures stand in FILE is not run again, so a run that was cut off goes on with the next one. Exit code 1
when a trial found what must not be.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from relayllm.files import write_json

TRIALS = {"patterns": 10_000, "hostile": 10_000, "teacher": 100, "soak": 100_000, "together": 1, "disk": 1, "kills": 50}
"""Name of a module beside this one, with `run(count, folder)`; how often it is done."""


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TRIALS)}; default: all")
    parser.add_argument("--json", type=Path, default=Path("runs/reliability.json"), help="where the figures are kept")
    parser.add_argument("--share", type=float, default=1.0, help="of each count: 0.01 for a quick look")
    arguments = parser.parse_args()
    known: dict[str, Any] = json.loads(arguments.json.read_text()) if arguments.json.is_file() else {}
    for name in arguments.names or TRIALS:
        if name not in TRIALS:
            parser.error(f"no trial {name!r}: there are {', '.join(TRIALS)}")
        if name not in known:
            known[name] = _run(name, max(1, round(TRIALS[name] * arguments.share)))
            write_json(arguments.json, known)
        print(f"{name}: {json.dumps(known[name])}", flush=True)
    return int(any(found["faults"] for found in known.values()))


def _run(name: str, count: int) -> dict[str, Any]:
    started = time.monotonic()
    trial = importlib.import_module(f"benchmarks.reliability.{name}")
    with tempfile.TemporaryDirectory(prefix=f"relay-{name}-") as folder:
        return {**trial.run(count, Path(folder)), "seconds": round(time.monotonic() - started)}


if __name__ == "__main__":
    sys.exit(main())
