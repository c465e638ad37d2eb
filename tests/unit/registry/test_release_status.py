"""What became of a released version is asked of the registry, whoever changed it meanwhile."""

import pytest

from flows import release_note
from relayllm.registry.champions import hold, promote, rollback
from relayllm.registry.client import Registry
from relayllm.registry.release_status import release_status
from tests.support.small_packages import register


@pytest.fixture
def registry(settings):
    return Registry(settings)


def test_release_status_follows_promotion_rollback_and_deletion(registry, name, tmp_path, store):
    first, second = register(registry, tmp_path, name, 4), register(registry, tmp_path, name, 5)
    assert not release_status(registry, name, 2).done
    promote(registry, first, "first")
    promote(registry, second, "better")
    assert release_status(registry, name, 2).text == f"{name} version 2 is champion: better"
    rollback(registry, name, "it was slow")
    status = release_status(registry, name, 2)
    assert status.done
    assert "was rolled back (it was slow); champion is version 1" in status.text
    store.delete_model_version(name, "2")
    status = release_status(registry, name, 2)
    assert not status.done
    assert "not in this registry" in status.text


def test_release_status_of_a_held_version_is_decided(registry, name, tmp_path):
    hold(registry, register(registry, tmp_path, name), "floor: 0.0 % solved")
    status = release_status(registry, name, 1)
    assert status.done
    assert status.text.endswith("stays candidate: floor: 0.0 % solved")


def test_release_status_alias_taken_away_by_hand_is_not_decided(registry, name, tmp_path, store):
    promote(registry, register(registry, tmp_path, name), "first")
    store.delete_registered_model_alias(name, "champion")
    assert not release_status(registry, name, 1).done


def test_note_counts_for_the_same_files_and_the_same_registry(registry, name, tmp_path, monkeypatch):
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path))
    monkeypatch.delenv("RELAY_RUNS", raising=False)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "postgresql://relay:secret@db/mlflow")
    (tmp_path / "dvc.lock").write_text("one")
    assert release_note.read_note() == {}
    release_note.write_note(register(registry, tmp_path, name), champion=True, reason="every gate holds")
    assert release_note.read_note()["version"] == 1
    assert "secret" not in (tmp_path / "runs/release.json").read_text()
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "postgresql://relay:secret@other/mlflow")
    assert release_note.read_note() == {}
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "postgresql://relay:secret@db/mlflow")
    (tmp_path / "dvc.lock").write_text("two")
    assert release_note.read_note() == {}
