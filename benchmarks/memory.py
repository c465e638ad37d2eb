"""Peak memory of a process that decodes, beside what weights and caches must take."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.measures import FULL, QUICK, Measure, Size
from benchmarks.models import Pair, cache_bytes, make_decoder, pair_of, weight_bytes
from benchmarks.work import check, draw, longest, relay


def peak(pair_name: str, dtype: str, device: str, threads: int, quick: bool) -> dict[str, Measure]:
    """Measured in a process of its own: what this one has used before does not count."""
    command = [sys.executable, "-m", "benchmarks.memory", pair_name, dtype, device, str(threads),
               *(["--quick"] * quick)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    found = json.loads(done.stdout.splitlines()[-1])
    return {"peak_memory": Measure(found["peak"] / (found["weights"] + found["caches"]), 1.2,
                                   "peak memory / (weights + caches by formula)", at_most=True, details=found)}


def measure(pair: Pair, size: Size) -> dict[str, int]:
    """Bytes. The peak is what was added since the libraries were there."""
    start = _warm_libraries(pair)
    decoder = make_decoder(pair)
    models = (decoder.student.model, decoder.teacher.engine.model)  # type: ignore[attr-defined,union-attr]
    _reset_peak(pair.device)
    work = draw(size.rows, prompt=size.prompt, length=size.length, calls=1, n=1, words=pair.words)
    check(work, relay(decoder, work))
    rows, tokens = size.rows, longest(work)
    caches = sum(cache_bytes(shape, rows, tokens, pair) for shape in (pair.student, pair.teacher))
    return {"peak": _peak(pair.device) - start, "weights": sum(map(weight_bytes, models)), "caches": caches,
            "rows": rows, "longest_row": tokens}


def _warm_libraries(pair: Pair) -> int:
    """Import what is needed and multiply once: libraries take memory of their own at first use."""
    import transformers.models.qwen3.modeling_qwen3  # noqa: F401

    import relayllm.engines.decoder  # noqa: F401

    x = torch.randn(64, 64, dtype=pair.dtype, device=pair.device)
    (x @ x).softmax(-1)
    return 0 if pair.device == "cuda" else _status("VmRSS")


def _reset_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    Path("/proc/self/clear_refs").write_text("5")


def _peak(device: str) -> int:
    return torch.cuda.max_memory_allocated() if device == "cuda" else _status("VmHWM")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}: peak memory can be measured on Linux only")


def main() -> None:
    """Print the bytes as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pair")
    parser.add_argument("dtype")
    parser.add_argument("device")
    parser.add_argument("threads", type=int)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(json.dumps(measure(pair_of(given.pair, given.dtype, given.device), QUICK if given.quick else FULL)))


if __name__ == "__main__":
    main()
