"""The machine: what it is, and whether torch sees the device. `python -m benchmarks.gpu.machine DEVICE FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from benchmarks.bandwidth import copy_bandwidth
from benchmarks.timing import machine


def main() -> None:
    """Write name, versions, memory and copy bandwidth."""
    device, out = sys.argv[1], Path(sys.argv[2])
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(f"torch {torch.__version__} sees no CUDA device: mend that, or give --pair small --device cpu")
    found = {**machine(), "copy_bytes_per_second": copy_bandwidth(torch.device(device))}
    if device == "cuda":
        found |= {"cuda": torch.version.cuda, "memory_bytes": torch.cuda.get_device_properties(0).total_memory}
    out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
