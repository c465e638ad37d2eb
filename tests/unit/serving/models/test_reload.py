"""Following the aliases of the registry."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from relayllm.errors import ModelError, NoSuchVersion, RegistryError
from relayllm.registry.client import Version
from relayllm.relay.options import Options
from relayllm.serving.metrics import Metrics
from relayllm.serving.models.loading import LoadedModel, find
from relayllm.serving.models.reload import AliasWatcher
from relayllm.serving.models.router import Capacity, ModelRouter
from relayllm.settings import current_settings
from tests.support.fakes_serving import in_memory, scripted_decoder

SOURCES = {"champion": "models:/m@champion", "candidate": "models:/m@candidate"}


class FakeRegistry:
    """Aliases that a test moves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.aliases, self.up = folder, {}, True

    def resolve(self, uri):
        if not self.up:
            raise RegistryError("the registry is down")
        if uri not in self.aliases:
            raise NoSuchVersion(f"no {uri}")
        return Version("m", int(self.aliases[uri]), "m-1", "r", {})

    def fetch(self, version):
        return self.folder


@pytest.fixture
def follow(tmp_path):
    """Look once per round at a registry with these versions; returns what is served after each."""
    registry, place = FakeRegistry(tmp_path), replace(current_settings(), root=tmp_path)

    async def run(rounds, broken, note):
        model_router = ModelRouter(Metrics(), Capacity(2, 2), share=1.0)
        model_router.add("champion", in_memory(scripted_decoder(), Options(), name="m"), asyncio.get_running_loop())

        def load(found):
            if found.version in broken:
                raise ModelError("damaged")
            return LoadedModel(found, scripted_decoder(), Options())

        watcher = AliasWatcher(model_router, model_router.metrics, SOURCES, seconds=60, load=load,
                               find=lambda source: find(source, place, lambda: registry))
        seen = []
        for champion, candidate in rounds:
            registry.up = champion != "down"
            registry.aliases = {SOURCES[alias]: version for alias, version in
                                (("champion", champion), ("candidate", candidate)) if version}
            await watcher.look()
            seen.append(note(model_router))
        watcher.stop()
        model_router.retire("candidate")
        model_router.retire("champion")
        return seen

    return lambda *rounds, broken=(), note=versions: asyncio.run(run(rounds, broken, note))


def versions(model_router):
    return tuple(deployment.version for deployment in model_router.models)


@pytest.mark.parametrize(("rounds", "seen"), [
    ([("1", None)], [("1",)]),
    ([("2", None), ("1", None)], [("2",), ("1",)]),
    ([(None, None)], [("1",)]),
    ([("1", "2"), ("2", "2")], [("1", "2"), ("2",)]),
    ([("1", "2"), ("1", None)], [("1", "2"), ("1",)]),
    ([("1", "2"), ("down", None)], [("1", "2"), ("1", "2")]),
    ([("1", "2"), ("1", None), ("down", None)], [("1", "2"), ("1",), ("1",)]),
])
def test_aliases_that_move_are_followed(follow, rounds, seen):
    assert follow(*rounds) == seen


def test_candidate_that_was_withdrawn_gets_no_more_requests(follow):
    seen = follow(("1", "2"), ("1", None),
                  note=lambda model_router: {model_router.pick(None).version for _ in range(50)})
    assert seen == [{"2"}, {"1"}]


def test_champion_that_was_withdrawn_answers_on_and_is_marked_until_it_is_back(follow):
    def champion(model_router):
        return model_router.pick(None).version, model_router.champion.withdrawn

    rounds = [("1", None), (None, None), ("1", None), (None, None), ("2", None)]
    assert follow(*rounds, note=champion) == [("1", False), ("1", True), ("1", False), ("1", True), ("2", False)]


def test_version_that_cannot_be_loaded_leaves_the_old_one(follow):
    assert follow(("2", None), ("3", None), broken={"2"}) == [("1",), ("3",)]
