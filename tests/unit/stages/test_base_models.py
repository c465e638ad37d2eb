"""The models everything starts from: how many there are, and where they lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relayllm.config import HubModel, load_params
from relayllm.errors import ConfigError
from relayllm.stages.base_models import run

SMOKE = load_params(Path("params/smoke.yaml")).base_models
SMALL = SMOKE.teacher.model_copy(update={"steps": 1, "batch_size": 2})
PINNED = HubModel(id="some/model", revision="0" * 40)


def make(folder: Path, **others):
    config = SMOKE.model_copy(update={"student": SMALL, "teacher": SMALL, "other_teachers": others})
    run(config, data=folder, student=folder / "student", teacher=folder / "teacher", others=folder / "others",
        metrics=folder / "metrics.json")
    return sorted(path.relative_to(folder / "others").as_posix() for path in (folder / "others").rglob("*.json"))


@pytest.mark.slow
def test_other_teachers_lie_beside_the_two_and_their_folder_is_there_without_any(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path("src").resolve())  # a package that another test loaded puts its own code first
    written = make(tmp_path, second=SMALL.model_copy(update={"seed": 7}))
    assert {"teachers.json", "second/config.json", "second/tokenizer.json"} <= set(written)
    counts = json.loads((tmp_path / "metrics.json").read_text())
    assert counts["second"] == counts["teacher"]
    assert json.loads((tmp_path / "others/teachers.json").read_text()) == {"second": counts["second"]}
    first, second = (tmp_path / name / "model.safetensors" for name in ("teacher", "others/second"))
    assert first.read_bytes() != second.read_bytes()
    assert make(tmp_path) == ["teachers.json"]


def test_shapes_and_revisions_do_not_mix(tmp_path):
    with pytest.raises(ConfigError, match=r"student, teacher have a shape and second a revision"):
        make(tmp_path, second=PINNED)


def test_other_teacher_may_not_be_called_teacher(tmp_path):
    with pytest.raises(ConfigError, match="another name"):
        make(tmp_path, teacher=SMALL)
