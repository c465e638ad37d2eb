"""A long run of the server in a process of its own: memory, file handles, threads and the trace store stay flat."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.load_client import load

CLIENTS, PARTS = 16, 20
SHARE = 0.001
"""Of the answers, written to MLflow as traces."""
SERVER = """
import os, sys, time
from pathlib import Path
from relayllm import RelayDecoder
from relayllm.settings import current_settings
from relayllm.serving.engine.tracing import Tracer
from tests.support.fakes_serving import serving
from tests.support.small_models import pair
import torch
torch.set_num_threads(1)
tracer = Tracer(float(sys.argv[1]), current_settings())
with serving(RelayDecoder.from_models(*pair()), slots=16, queue=64, watchers=[tracer]) as server:
    print(server.url, flush=True)
    sys.stdin.readline()
tracer.close()
"""


def run(count: int, folder: Path) -> dict[str, Any]:
    """Send `count` requests or a few more, as many per client and part; look at the process after each part."""
    place = {**os.environ, "PYTHONPATH": f"src{os.pathsep}.", "RELAY_ROOT": str(folder)}
    with subprocess.Popen([sys.executable, "-c", SERVER, str(SHARE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, env=place) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline().rsplit(":", 1)[1])
        refused, looks = 0, []
        turns = -(-count // (PARTS * CLIENTS))
        for part in range(PARTS):
            seen = load(port, _bodies(turns, seed=part * count))
            refused += len(seen.faults)
            looks.append(_look(process.pid, folder))
        process.stdin.write("\n")
        process.stdin.flush()
    settled = looks[PARTS // 4:]
    figures = {name: [looks[0][name], settled[0][name], looks[-1][name]] for name in looks[0]}
    grown = figures["rss_mib"][2] - figures["rss_mib"][1]
    return {"requests": turns * CLIENTS * PARTS, "refused": refused,
            "first_quarter_last": figures,
            "faults": refused + (grown > 32) + (figures["handles"][2] > figures["handles"][1] + 8)
            + (figures["threads"][2] > figures["threads"][1] + 2)}


def _bodies(turns: int, *, seed: int) -> list[list[dict[str, Any]]]:
    return [[{"prompt": f"There are {turn} pens in {client} boxes", "max_tokens": 8, "temperature": 1.0,
              "seed": seed + turns * client + turn, "relay": {"max_calls": 1, "call_bias": 5.0}}
             for turn in range(turns)] for client in range(CLIENTS)]


def _look(pid: int, folder: Path) -> dict[str, float]:
    """What the process holds now."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    store = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return {"rss_mib": round(int(status["VmRSS"].split()[0]) / 1024, 1), "threads": int(status["Threads"]),
            "handles": len(list(Path(f"/proc/{pid}/fd").iterdir())), "store_mib": round(store / 2**20, 2)}
