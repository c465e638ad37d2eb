"""A real `mlflow server` for tests: SQLite behind it, files through its artifact proxy, as a team has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relayllm.processes import free_port
from tests.support.waiting import eventually


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """An MLflow server over stores in `folder`, on a free port of this machine; yields its address."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    words = [str(Path(sys.executable).parent / "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port),
             "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/server.db",
             "--artifacts-destination", str(folder / "files")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **quiet})
    address = f"http://127.0.0.1:{port}"
    try:
        assert eventually(lambda: server.poll() is not None or _answers(address), 120)
        assert server.poll() is None, (folder / "server.log").read_text()[-4000:]
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/health", timeout=2).close()
    except OSError:
        return False
    return True
