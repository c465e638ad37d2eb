"""Finding and loading what is deployment."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from relayllm.errors import ModelError, NoSuchVersion, RegistryError
from relayllm.processes import free_port
from relayllm.registry.client import Version
from relayllm.serving.models.loading import FoundModel, find, load
from relayllm.settings import current_settings
from tests.support.small_packages import hollow_package

SIGNATURE = """signature:
  inputs: '[{{"type": "string", "name": "{takes}"}}]'
  outputs: '[{{"type": "string", "name": "text"}}, {{"type": "double", "name": "call_ratio"}}]'
"""


@pytest.fixture
def place(tmp_path):
    return replace(current_settings(), root=tmp_path)


@pytest.fixture
def package(tmp_path):
    folder = hollow_package(tmp_path / "package")
    (folder / "MLmodel").write_text(SIGNATURE.format(takes="prompt"))
    return folder


class FakeRegistry:
    def __init__(self, folder: Path, up: bool = True, there: bool = True) -> None:
        self.folder, self.up, self.there = folder, up, there

    def resolve(self, uri):
        if not self.up:
            raise RegistryError("the registry is down")
        if not self.there:
            raise NoSuchVersion("no such alias")
        return Version("relay-decoder", 3, "m-1", "r", {})

    def fetch(self, version):
        return self.folder


def made(student, teacher, **options):
    return student, teacher


def no_registry():
    raise AssertionError("a folder needs no registry")


def test_find_folder_takes_its_registered_name(package, place):
    assert find(str(package), place, no_registry) == FoundModel("relay-decoder", "package", package)


def test_find_missing_folder_says_what_to_give(tmp_path, place):
    with pytest.raises(ModelError, match="give a folder"):
        find(str(tmp_path / "nothing"), place, no_registry)


def test_find_with_the_registry_down_serves_the_last_good_copy(package, place):
    registry = FakeRegistry(package)
    uri = "models:/relay-decoder@champion"
    found = find(uri, place, lambda: registry)
    registry.up = False
    assert find(uri, place, lambda: registry) == found == FoundModel("relay-decoder", "3", package)


def test_find_alias_that_was_withdrawn_is_gone_and_forgotten(package, place):
    registry = FakeRegistry(package)
    uri = "models:/relay-decoder@candidate"
    find(uri, place, lambda: registry)
    registry.there = False
    with pytest.raises(NoSuchVersion):
        find(uri, place, lambda: registry)
    registry.up = False
    with pytest.raises(RegistryError, match="down"):
        find(uri, place, lambda: registry)


def test_find_with_a_registry_that_does_not_answer_waits_only_so_long(package, place):
    uri = "models:/relay-decoder@champion"
    found = find(uri, place, lambda: FakeRegistry(package))
    hold = threading.Event()
    assert find(uri, place, hold.wait, patience=0.1) == found
    hold.set()


def test_find_asks_nothing_of_a_registry_at_whose_address_nobody_answers(place):
    away = replace(place, registry_uri=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(RegistryError, match="nobody answers there"):
        find("models:/relay-decoder@champion", away, no_registry)


def test_find_with_a_store_that_cannot_be_opened_says_so(place):
    def broken():
        raise OSError("unable to open database file")

    with pytest.raises(RegistryError, match="unable to open"):
        find("models:/relay-decoder@champion", place, broken)


def test_find_with_the_registry_down_and_no_copy_is_the_registrys_error(package, place):
    with pytest.raises(RegistryError, match="down"):
        find("models:/relay-decoder@champion", place, lambda: FakeRegistry(package, up=False))


def test_load_package_takes_its_own_decoding_and_teacher(package):
    loaded = load(FoundModel("relay-decoder", "1", package), make=made)
    assert loaded.decoder == (package / "artifacts/student", str(package / "artifacts/teacher"))
    assert (loaded.defaults.max_new_tokens, loaded.defaults.max_call_tokens, loaded.slots) == (24, 9, 8)


@pytest.mark.parametrize(("given", "used"), [("none", None), ("http://x:1", "http://x:1")])
def test_load_other_teacher_stands_in(package, given, used):
    assert load(FoundModel("relay-decoder", "1", package), given, make=made).decoder[1] == used


@pytest.mark.parametrize(("given", "used"), [(None, "http://y:2"), ("http://x:1", "http://x:1"), ("none", None)])
def test_load_bare_student_asks_the_environments_teacher_unless_another_is_given(tmp_path, monkeypatch, given, used):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv("RELAY_TEACHER_URL", "http://y:2")
    found = FoundModel("student", "student", tmp_path)
    assert load(found, given, make=made).decoder == (tmp_path, used)


@pytest.mark.parametrize(("damage", "said"), [
    (lambda folder: (folder / "artifacts/relay.json").write_text("{"), "cannot be read"),
    (lambda folder: (folder / "artifacts/relay.json").unlink(), "no packaged relay decoder"),
    (lambda folder: (folder / "artifacts/student/model.safetensors").unlink(), "not whole"),
    (lambda folder: (folder / "MLmodel").write_text("[:"), "nothing readable"),
    (lambda folder: (folder / "MLmodel").unlink(), "nothing readable"),
    (lambda folder: (folder / "MLmodel").write_text(SIGNATURE.format(takes="image")), "another model"),
    (lambda folder: (folder / "artifacts/relay.json").write_text(json.dumps({"format": 9})), "format 9"),
])
def test_load_damaged_package_says_what_and_what_to_do(package, damage, said):
    damage(package)
    with pytest.raises(ModelError, match=said):
        load(FoundModel("relay-decoder", "1", package), make=made)


def test_adapter_is_named_as_one(place, tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "some/base"}))
    with pytest.raises(ModelError, match="is an adapter over 'some/base'"):
        find(str(tmp_path), place, FakeRegistry(tmp_path))
