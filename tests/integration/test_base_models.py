"""Base models of the tiny world, trained by processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relayllm.config import LocalModel, TinyModel, load_params
from relayllm.engines.loading import load_model
from relayllm.stages.base_models import run
from tests.support.small_models import base_tokenizer, make_model

SMOKE = load_params(Path("params/smoke.yaml")).base_models
SMALL = SMOKE.teacher.model_copy(update={"steps": 1, "batch_size": 2})


def make(folder: Path, teacher: TinyModel | LocalModel = SMALL, **others: TinyModel):
    config = SMOKE.model_copy(update={"student": SMALL, "teacher": teacher, "other_teachers": others})
    run(config, data=folder, student=folder / "student", teacher=folder / "teacher", others=folder / "others",
        metrics=folder / "metrics.json")
    return sorted(path.relative_to(folder / "others").as_posix() for path in (folder / "others").rglob("*.json"))


@pytest.mark.slow
def test_other_teachers_lie_beside_the_two_and_their_folder_is_there_without_any(tmp_path, monkeypatch, capfd):
    monkeypatch.syspath_prepend(Path("src").resolve())  # a package that another test loaded puts its own code first
    written = make(tmp_path, second=SMALL.model_copy(update={"seed": 7}))
    assert {"teachers.json", "second/config.json", "second/tokenizer.json"} <= set(written)
    counts = json.loads((tmp_path / "metrics.json").read_text())
    assert counts["second"] == counts["teacher"]
    assert json.loads((tmp_path / "others/teachers.json").read_text()) == {"second": counts["second"]}
    first, second = (tmp_path / name / "model.safetensors" for name in ("teacher", "others/second"))
    assert first.read_bytes() != second.read_bytes()
    assert make(tmp_path) == ["teachers.json"]
    assert "it/s" not in capfd.readouterr().err  # bars of transformers, drawn by the processes that train


@pytest.mark.slow
def test_tiny_and_local_models_mix(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path("src").resolve())
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path))
    make_model("qwen2", base_tokenizer(), seed=2, width=48).save_pretrained(tmp_path / "mine")
    base_tokenizer().save_pretrained(tmp_path / "mine")
    make(tmp_path, LocalModel(kind="local", path="mine", digest=None))
    assert load_model(tmp_path / "student").config.model_type == "qwen3"
    assert load_model(tmp_path / "teacher").config.model_type == "qwen2"
