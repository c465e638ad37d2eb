"""`relay serve models:/...` over a real registry: the champion, a moved alias, a canary, a registry that is down."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest

from relayllm.registry.client import Registry
from tests.integration.test_release import package, parts, place, varied  # noqa: F401
from tests.integration.test_server_process import address_of
from tests.support.fakes_serving import eventually

pytestmark = pytest.mark.slow
ASK = {"messages": [{"role": "user", "content": "How many pens?"}], "max_tokens": 8}


@contextmanager
def served(place, *options):  # noqa: F811
    environment = {**os.environ, "PYTHONPATH": os.path.abspath("src"), "OMP_NUM_THREADS": "1",
                   "RELAY_ROOT": str(place.root), "MLFLOW_TRACKING_URI": place.tracking_uri}
    words = [sys.executable, "-m", "relayllm.cli", "serve", "--port", "0", "--reload-seconds", "0.5", *options]
    running = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        with httpx.Client(base_url=address_of(running), timeout=30, trust_env=False) as client:
            yield client
    finally:
        running.kill()
        running.wait()


def versions(client, requests=20):
    """Who answers: by chance alone a canary of a half would stay unseen once in a million times."""
    return {version(client) for _ in range(requests)}


def version(client, **more):
    return client.post("/v1/chat/completions", json={**ASK, **more}).json()["relay"]["version"]


def models(client):
    """What the server has at work, and whether the registry has withdrawn it."""
    return [(model["version"], model["withdrawn"]) for model in client.get("/ready").json()["models"]]


def test_served_version_follows_the_registry(parts, place, package):  # noqa: F811
    registry = Registry(place)
    first = registry.promote(registry.register(package), "the first")
    second = registry.register(varied(parts, place, "other", 7))
    with served(place, "--canary", "0.5") as client:
        assert version(client) == str(first.number)
        registry.hold(second, "not yet")
        assert eventually(lambda: len(models(client)) == 2)
        assert version(client, model="relay-decoder@candidate") == str(second.number)
        assert versions(client) == {str(first.number), str(second.number)}
        registry.promote(second, "now")
        assert eventually(lambda: models(client) == [(str(second.number), False)])
        assert versions(client) == {str(second.number)}
        registry.rollback("relay-decoder", "it was worse")
        assert eventually(lambda: models(client) == [(str(first.number), False)])
        assert versions(client) == {str(first.number)}
        assert registry.rollback("relay-decoder", "it was bad, too") is None
        assert eventually(lambda: models(client) == [(str(first.number), True)])
        assert versions(client) == {str(first.number)}
        registry.promote(first, "better than nothing")
        assert eventually(lambda: models(client) == [(str(first.number), False)])
    with served(replace(place, tracking_uri="http://127.0.0.1:9")) as client:  # nothing listens there
        assert version(client) == str(first.number)
