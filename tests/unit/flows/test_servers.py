"""Servers that a run needs are asked for once, before the first stage."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flows.servers import check_prefect, check_tracking
from relayllm.errors import ConfigError, RegistryError
from relayllm.processes import free_port
from relayllm.registry.faults import check_registry


@pytest.fixture
def dead():
    return f"http://relay:secret@127.0.0.1:{free_port()}"


@pytest.fixture
def alive():
    """A server that refuses: somebody is there."""
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(401)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_prefect_away_is_one_sentence_without_the_password(monkeypatch, dead):
    monkeypatch.setenv("PREFECT_API_URL", f"{dead}/api")
    with pytest.raises(ConfigError) as fault:
        check_prefect()
    assert "nobody answers there (Connection refused): start that server, or unset" in str(fault.value)
    assert "\n" not in str(fault.value)
    assert "secret" not in str(fault.value)


def test_tracking_away_lets_the_stages_run_and_the_release_not(monkeypatch, dead):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", dead)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    assert "relay sync" in check_tracking()
    assert "secret" not in check_tracking()
    with pytest.raises(RegistryError, match="nobody answers"):
        check_registry()


def test_servers_that_answer_whatever_they_answer_are_there(monkeypatch, alive):
    monkeypatch.setenv("PREFECT_API_URL", f"{alive}/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", alive)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", alive)
    check_prefect()
    check_registry()
    assert check_tracking() == ""


def test_embedded_stores_are_always_there(monkeypatch):
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    check_prefect()
    check_registry()
    assert check_tracking() == ""
