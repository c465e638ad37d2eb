"""A checkpoint is used again for the very same work, and for nothing else."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from relayllm.config import load_params
from relayllm.training.checkpoints import KEY_FILE, close_folder, content_of, key_of, mark_whole, open_folder

CONFIG = load_params(Path("params/smoke.yaml")).warmup


@pytest.fixture
def inputs(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_bytes(b"abc")
    (tmp_path / "rows").write_bytes(b"123")
    return [tmp_path / "rows", folder]


def checkpoint(folder: Path, step: int, whole: bool = True) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    (path / "trainer_state.json").write_text("{}")
    if whole:
        mark_whole(path, [step])
    return path


def test_key_is_the_same_for_the_same_work(inputs):
    assert key_of(CONFIG, inputs) == key_of(CONFIG.model_copy(), list(inputs))


def test_key_changes_with_config_and_with_inputs(inputs):
    before = key_of(CONFIG, inputs)
    assert key_of(CONFIG.model_copy(update={"seed": 7}), inputs) != before
    assert key_of(CONFIG, inputs, extra="another run") != before
    (inputs[1] / "weights").write_bytes(b"abd")
    assert key_of(CONFIG, inputs) != before


def test_key_tells_apart_files_that_swap_a_byte(tmp_path):
    keys = []
    for first, second in ((b"ab", b"c"), (b"a", b"bc")):
        (tmp_path / "x").write_bytes(first)
        (tmp_path / "y").write_bytes(second)
        keys.append(key_of(CONFIG, [tmp_path / "x", tmp_path / "y"]))
    assert keys[0] != keys[1]


def test_open_folder_resumes_from_the_newest_whole_checkpoint(tmp_path):
    folder = tmp_path / "run"
    assert open_folder(folder, "key") is None
    checkpoint(folder, 9)
    newest = checkpoint(folder, 20)
    half = checkpoint(folder, 100, whole=False)
    assert open_folder(folder, "key") == newest
    assert content_of(newest) == [20]
    assert not half.exists()


def test_open_folder_of_another_key_starts_over(tmp_path):
    folder = tmp_path / "run"
    open_folder(folder, "key")
    checkpoint(folder, 9)
    assert open_folder(folder, "another") is None
    assert not list(folder.glob("checkpoint-*"))


def test_open_folder_without_checkpoint_starts_from_nothing(tmp_path):
    open_folder(tmp_path / "run", "key")
    assert open_folder(tmp_path / "run", "key") is None


def test_processes_of_one_run_prepare_its_folder_one_at_a_time(tmp_path, monkeypatch):
    """Rank 1 finds no key and removes the folder, in which rank 0 is just writing one."""
    import relayllm.training.checkpoints as module

    folder, ranks, removed = tmp_path / "runs" / "run", Barrier(4), module.shutil.rmtree

    def slowly(path, **options):
        time.sleep(0.01)
        removed(path, **options)

    def prepare(_):
        ranks.wait()
        return open_folder(folder, "key")

    monkeypatch.setattr(module.shutil, "rmtree", slowly)
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(prepare, range(4))] == [None] * 4
    assert open_folder(folder, "key") is None
    assert (folder / KEY_FILE).is_file()


def test_closed_folder_is_gone(tmp_path):
    open_folder(tmp_path / "run", "key")
    checkpoint(tmp_path / "run", 9)
    close_folder(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
