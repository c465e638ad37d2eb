"""Start MLflow's scoring server on a version, ask it one question, stop it: does what was promoted serve?"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from relayllm.errors import ServingError
from relayllm.processes import end_group, end_with_parent, free_port
from relayllm.settings import Settings, current_settings

PATIENCE = 180.0
"""Seconds for the server to load its model; ten on two cores for a small one."""
REASON = re.compile(r"[\w.]*(?:Error|Exception): ")
"""How the line of a traceback begins that says why; behind the first one stand those of MLflow's own command."""


def check(uri: str, prompt: str, settings: Settings | None = None, *, patience: float = PATIENCE) -> dict[str, Any]:
    """Serve a version or a package folder with `mlflow models serve`, ask, stop; returns the row of the answer.

    Raises:
        ServingError: the server did not come up or did not answer; its last lines are in the message.
    """
    with scoring_server(uri, settings or current_settings(), patience) as address:
        body = json.dumps({"inputs": [{"prompt": prompt}]}).encode()
        request = urllib.request.Request(f"{address}/invocations", body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=patience) as reply:
                row = json.load(reply)["predictions"][0]
        except (OSError, ValueError, LookupError) as error:
            reason = error.read().decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else str(error)
            raise ServingError(f"{uri} is served and does not answer: {reason[:500]}") from error
    if not isinstance(row, dict) or not {"text", "call_ratio"} <= row.keys():
        raise ServingError(f"{uri} answered {row!r:.200}, which has no text and call_ratio: it is no relay decoder")
    return row


@contextmanager
def scoring_server(uri: str, settings: Settings, patience: float = PATIENCE) -> Iterator[str]:
    """MLflow's server on a free port of this machine while the block runs; yields its address."""
    with tempfile.TemporaryFile() as log:
        port = free_port()
        process = _start(uri, port, settings, log)
        address = f"http://127.0.0.1:{port}"
        try:
            _wait(address, process, patience, uri, log)
            yield address
        finally:
            end_group(process)


def _start(uri: str, port: int, settings: Settings, log: IO[bytes]) -> subprocess.Popen[bytes]:
    tools = Path(sys.executable).parent
    environment = {**os.environ, "MLFLOW_TRACKING_URI": settings.tracking_uri,
                   "MLFLOW_REGISTRY_URI": settings.registry_uri,
                   "RELAY_ROOT": str(settings.root), "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}",
                   "PYTHONDONTWRITEBYTECODE": "1"}  # the store's copy stays as it was registered
    words = [str(tools / "mlflow"), "models", "serve", "--model-uri", uri, "--host", "127.0.0.1", "--port", str(port),
             "--env-manager", "local"]
    return subprocess.Popen(words, env=environment, cwd=settings.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                            start_new_session=True, preexec_fn=end_with_parent)


def _wait(address: str, process: subprocess.Popen[bytes], patience: float, uri: str, log: IO[bytes]) -> None:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/ping", timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    reason = next((f": {line.strip()}" for line in lines if REASON.match(line)), "")
    last = "\n".join(f"    {line}" for line in lines[-25:])
    fate = f"did not come up within {patience:.0f} s" if process.poll() is None else f"ended with {process.poll()}"
    raise ServingError(f"the scoring server of {uri} {fate}{reason}; its last lines:\n{last}")
