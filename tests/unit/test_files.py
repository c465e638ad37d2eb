"""Whole or not at all."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from relayllm.files import atomic_write, disk_full_message, is_disk_full, refused_path, scratch_beside, write_json


def test_written_file_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "x.txt"
    with atomic_write(target) as part:
        part.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"
    assert [path.name for path in target.parent.iterdir()] == ["x.txt"]


def fail_half_way(target, folder: bool) -> None:
    with atomic_write(target) as part:
        if folder:
            part.mkdir()
        (part / "a" if folder else part).write_text("half")
        raise RuntimeError("no")


@pytest.mark.parametrize("folder", [False, True])
def test_failed_writing_leaves_what_was_there_and_no_part(tmp_path, folder):
    target = tmp_path / "x"
    target.write_text("before")
    with pytest.raises(RuntimeError, match="no"):
        fail_half_way(target, folder)
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_written_folder_replaces_the_one_before(tmp_path):
    target = tmp_path / "model"
    for name in ("old", "new"):
        with atomic_write(target) as part:
            part.mkdir()
            (part / name).write_text(name)
    assert [path.name for path in target.iterdir()] == ["new"]


def test_written_file_never_replaces_a_folder(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.md").write_text("mine")
    with pytest.raises(IsADirectoryError) as fault, atomic_write(tmp_path / "notes") as part:
        part.write_text("results")
    assert refused_path(fault.value).startswith(f"{tmp_path}/notes: Is a directory")
    assert [path.name for path in tmp_path.rglob("*")] == ["notes", "mine.md"]


@pytest.mark.parametrize("inside", [".", "deep/er"])
def test_folder_in_which_the_command_runs_is_not_replaced(tmp_path, monkeypatch, inside):
    (tmp_path / "here" / inside).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / inside)
    with pytest.raises(OSError, match="runs inside that folder"), atomic_write(tmp_path / "here") as part:
        part.mkdir()
    assert (tmp_path / "here" / inside).is_dir()


def test_json_is_the_same_bytes_for_the_same_value(tmp_path):
    write_json(tmp_path / "a", {"b": 1, "a": "ü"})
    write_json(tmp_path / "b", {"a": "ü", "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == '{\n  "a": "ü",\n  "b": 1\n}\n'.encode()


def fault(kind):
    """An error as somebody up the stack gets it."""
    try:
        try:
            with open("/dev/full", "w", buffering=1) as disk:
                disk.write("x\n")
        except OSError as error:
            raise RuntimeError("saving failed") from (error if kind == "behind" else None)
    except RuntimeError as error:
        return error


def test_full_disk_is_seen_behind_another_error_and_by_the_words_of_libraries():
    assert is_disk_full(fault("behind"))
    assert is_disk_full(sqlite3.OperationalError("database or disk is full"))
    assert is_disk_full(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert not is_disk_full(OSError(errno.EIO, "disk"))


def write_to_a_full_disk(path):
    with atomic_write(path) as part, open("/dev/full", "w", buffering=1) as disk:
        part.touch()
        disk.write("x\n")


def test_full_disk_message_names_the_file_that_did_not_fit(tmp_path):
    with pytest.raises(OSError, match="No space left") as fault:
        write_to_a_full_disk(tmp_path / "model.safetensors")
    assert f"no space left on the disk for {tmp_path}/model.safetensors:" in disk_full_message(fault.value)
    assert "(database or disk is full)" in disk_full_message(sqlite3.OperationalError("database or disk is full"))
    assert list(tmp_path.iterdir()) == []


def test_writing_leaves_the_parts_of_others_alone(tmp_path):
    with atomic_write(tmp_path / "x") as one:
        one.write_text("1")
        with scratch_beside(tmp_path / "x") as two:
            write_json(tmp_path / "xy", 1)
            assert one.is_file()
        assert not two.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x", "xy"]
