"""`relay serve models:/...` over a real registry: the champion, a moved alias, a canary, a registry that is down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relayllm.registry.champions import hold, promote, rollback
from relayllm.registry.client import Registry
from tests.support.real_packages import varied
from tests.support.serve_process import served, version
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


def versions(client, requests=20):
    """Who answers: by chance alone a canary of a half would stay unseen once in a million times."""
    return {version(client) for _ in range(requests)}


def models(client):
    """What the server has at work, and whether the registry has withdrawn it."""
    return [(model["version"], model["withdrawn"]) for model in client.get("/ready").json()["models"]]


def test_served_version_follows_the_registry(parts, settings, package):
    registry = Registry(settings)
    first = promote(registry, registry.register(package), "the first")
    second = registry.register(varied(parts, settings, "other", 7))
    with served(settings, "--canary", "0.5") as client:
        assert version(client) == str(first.number)
        hold(registry, second, "not yet")
        assert eventually(lambda: len(models(client)) == 2)
        assert version(client, model="relay-decoder@candidate") == str(second.number)
        assert versions(client) == {str(first.number), str(second.number)}
        promote(registry, second, "now")
        assert eventually(lambda: models(client) == [(str(second.number), False)])
        assert versions(client) == {str(second.number)}
        rollback(registry, "relay-decoder", "it was worse")
        assert eventually(lambda: models(client) == [(str(first.number), False)])
        assert versions(client) == {str(first.number)}
        assert rollback(registry, "relay-decoder", "it was bad, too") is None
        assert eventually(lambda: models(client) == [(str(first.number), True)])
        assert versions(client) == {str(first.number)}
        promote(registry, first, "better than nothing")
        assert eventually(lambda: models(client) == [(str(first.number), False)])
    with served(replace(settings, tracking_uri="http://127.0.0.1:9")) as client:  # nothing listens there
        assert version(client) == str(first.number)
