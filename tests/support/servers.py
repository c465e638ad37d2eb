"""Servers of other projects, started for a test: Prefect's and MLflow's."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.places import environment


@contextmanager
def server(folder: Path, health: str, *words: str, **more: str) -> Iterator[str]:
    """A server on a free port of this machine; `PORT` in the words is replaced. Its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    (folder / ".store").mkdir()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen([word.replace("PORT", port) for word in words], cwd=folder, stdout=log, stderr=log,
                                   env=environment(folder, **more), start_new_session=True)
    try:
        deadline = time.monotonic() + 180
        while not _answers(url + health):
            assert process.poll() is None, (folder / "server.log").read_text()[-3000:]
            assert time.monotonic() < deadline, (folder / "server.log").read_text()[-3000:]
            time.sleep(0.3)
        yield url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except OSError:
        return False
    return True


def post(url: str, body: dict) -> list[dict]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
