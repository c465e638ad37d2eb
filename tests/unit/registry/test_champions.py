"""Who is champion, and where a roll-back goes, on a real SQLite registry."""

from __future__ import annotations

import pytest

from relayllm.errors import RegistryError
from relayllm.registry.champions import hold, promote, rollback
from relayllm.registry.client import Registry
from tests.support.small_packages import register


@pytest.fixture(scope="module")
def registry(settings):
    return Registry(settings)


def test_promote_then_rollback_gives_the_alias_back(registry, name, tmp_path):
    first, second = register(registry, tmp_path, name, 4), register(registry, tmp_path, name, 5)
    promote(registry, first, "first")
    promote(registry, second, "better")
    assert registry.champion(name).number == 2
    assert rollback(registry, name, "drift").number == 1
    assert registry.champion(name).number == 1
    assert registry.find(name, 2).tags["rolled_back_because"] == "drift"


def test_rollback_of_the_first_champion_leaves_none(registry, name, tmp_path):
    promote(registry, register(registry, tmp_path, name), "first")
    assert rollback(registry, name, "broken") is None
    assert registry.champion(name) is None
    with pytest.raises(RegistryError, match="nothing to roll back"):
        rollback(registry, name, "again")


def test_rollback_to_a_deleted_version_changes_nothing(registry, name, tmp_path, store):
    first, second = register(registry, tmp_path, name, 4), register(registry, tmp_path, name, 5)
    promote(registry, first, "first")
    promote(registry, second, "better")
    store.delete_model_version(name, "1")
    with pytest.raises(RegistryError, match=r"version 1, which was deleted.*relay promote") as fault:
        rollback(registry, name, "drift")
    assert "MLFLOW_TRACKING_URI" not in str(fault.value)
    assert registry.champion(name).number == 2
    assert registry.champion(name).tags["status"] == "champion"
    assert "rolled_back" not in registry.champion(name).tags


def test_rollback_of_an_alias_moved_by_hand_goes_back_to_who_was_promoted(registry, name, tmp_path, store):
    first, second, third = (register(registry, tmp_path, name, right) for right in (4, 5, 6))
    promote(registry, first, "first")
    promote(registry, second, "better")
    for moved in (third, first):  # one that never was champion, and one that says it replaced nobody
        store.set_registered_model_alias(name, "champion", str(moved.number))
        assert rollback(registry, name, "drift").number == 2
    assert rollback(registry, name, "drift").number == 1


def test_rollback_of_a_hand_made_champion_changes_nothing_where_nobody_was_before(registry, name, tmp_path, store):
    register(registry, tmp_path, name)
    store.set_registered_model_alias(name, "champion", "1")
    with pytest.raises(RegistryError, match=r"version 1 .* made champion by hand.*relay promote"):
        rollback(registry, name, "drift")
    assert registry.champion(name).number == 1


def test_promote_of_a_hand_made_champion_notes_whom_it_replaced(registry, name, tmp_path, store):
    first, second = register(registry, tmp_path, name, 4), register(registry, tmp_path, name, 5)
    promote(registry, first, "first")
    store.set_registered_model_alias(name, "champion", "2")
    promote(registry, second, "seen and wanted")
    assert registry.find(name, 1).tags["status"] == "replaced"
    assert rollback(registry, name, "drift").number == 1


def test_promote_or_hold_of_a_deleted_version_leaves_the_champion_as_it_is(registry, name, tmp_path, store):
    first, second = register(registry, tmp_path, name, 4), register(registry, tmp_path, name, 5)
    promote(registry, first, "first")
    store.delete_model_version(name, "2")
    for act in (promote, hold):
        with pytest.raises(RegistryError):
            act(registry, second, "better")
    assert registry.champion(name).number == 1


def test_hold_keeps_the_reason_and_promote_clears_candidate(registry, name, tmp_path):
    held = hold(registry, register(registry, tmp_path, name), "latency: slow")
    assert held.aliases == ("candidate",)
    assert held.tags["held_because"] == "latency: slow"
    assert promote(registry, held, "forced").aliases == ("champion",)


def test_promote_of_a_version_read_before_it_was_held_clears_candidate(registry, name, tmp_path):
    early = register(registry, tmp_path, name)
    hold(registry, early, "not yet")
    assert promote(registry, early, "now").aliases == ("champion",)
