"""`relay serve` in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from relayllm.settings import Settings
from tests.support.waiting import eventually

ASK = {"messages": [{"role": "user", "content": "How many pens?"}], "max_tokens": 8}


@contextmanager
def served(settings: Settings, *options: str) -> Iterator[httpx.Client]:
    """A server of the champion of a registry; a client of it."""
    environment = {**os.environ, "PYTHONPATH": os.path.abspath("src"), "OMP_NUM_THREADS": "1",
                   "RELAY_ROOT": str(settings.root), "MLFLOW_TRACKING_URI": settings.tracking_uri}
    words = [sys.executable, "-m", "relayllm.cli", "serve", "--port", "0", "--reload-seconds", "0.5", *options]
    running = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        with httpx.Client(base_url=address_of(running), timeout=60, trust_env=False) as client:
            yield client
    finally:
        running.kill()
        running.wait()


def version(client: httpx.Client, **more: object) -> str:
    """Which version answers a request."""
    return client.post("/v1/chat/completions", json={**ASK, **more}).json()["relay"]["version"]


def address_of(running: subprocess.Popen[str]) -> str:
    """Where a server that has just been started listens, once it is ready."""
    printed = []
    for line in running.stdout:
        printed.append(line)
        if line.startswith("serving"):
            break
    else:
        raise AssertionError(f"the server ended:\n{''.join(printed)[-3000:]}")
    url = line.split(" on ")[1].split()[0]
    assert eventually(lambda: ready(url))
    return url


def ready(url: str) -> bool:
    """Whether a server takes requests."""
    try:
        return httpx.get(f"{url}/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
