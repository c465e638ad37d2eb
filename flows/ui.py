"""Show the runs that were made: Prefect and MLflow on this machine, over the stores of this folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from relayllm.processes import end_group, end_with_parent  # noqa: E402
from relayllm.settings import current_settings, quiet  # noqa: E402


def main() -> int:
    """Start MLflow's and Prefect's servers, print their addresses, end both together."""
    quiet()
    settings = current_settings()
    prefect, tracking = _port(4200), _port(5000)
    prefect_url, mlflow_url = f"http://127.0.0.1:{prefect}", f"http://127.0.0.1:{tracking}"
    os.environ["PREFECT_UI_API_URL"] = f"{prefect_url}/api"
    servers = [
        _server(["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(prefect), "--no-services"]),
        _server(["mlflow", "server", "--host", "127.0.0.1", "--port", str(tracking), "--workers", "1",
                 "--backend-store-uri", settings.tracking_uri, "--default-artifact-root",
                 settings.artifact_root or "."]),
    ]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        _wait(f"{prefect_url}/api/health", servers[0])
        _wait(f"{mlflow_url}/health", servers[1])
        print(f"Prefect  {prefect_url}\nMLflow   {mlflow_url}\nCtrl-C ends both.", flush=True)
        while all(server.poll() is None for server in servers):
            time.sleep(0.5)
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        for server in servers:
            end_group(server)


def _server(words: list[str]) -> subprocess.Popen[bytes]:
    log = current_settings().runs / f"{words[0]}-server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    words[0] = str(Path(sys.executable).parent / words[0])
    with log.open("wb") as file:
        return subprocess.Popen(words, stdout=file, stderr=file, start_new_session=True, preexec_fn=end_with_parent)


def _port(wanted: int) -> int:
    """The usual port, or a free one when it is taken."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str, server: subprocess.Popen[bytes], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.3)
    raise SystemExit(f"{url} did not answer within {seconds:.0f} s: see runs/*-server.log")


if __name__ == "__main__":
    sys.exit(main())
