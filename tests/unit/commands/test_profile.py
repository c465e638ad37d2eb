"""`relay profile`: a shipped profile as params.yaml, with one's own models and problems."""

from __future__ import annotations

import shutil

import pytest

from relayllm.cli import main
from relayllm.config import load_params
from tests.support.places import ROOT

PROFILES = sorted(path.stem for path in (ROOT / "params").glob("*.yaml"))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A root with the shipped profiles, two folders of weights and two files of problems."""
    shutil.copytree(ROOT / "params", tmp_path / "params")
    for name in ("models/small", "models/large"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("train.jsonl", "exam.jsonl"):
        (tmp_path / name).touch()
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_is_copied_byte_for_byte(profile, project):
    assert main(["profile", profile]) == 0
    assert (project / "params.yaml").read_bytes() == (project / f"params/{profile}.yaml").read_bytes()


@pytest.mark.parametrize("profile", PROFILES)
def test_own_models_and_problems_take_the_profile_s_place(profile, project):
    own = ["--student", "models/small", "--teacher", "models/large", "--train", "train.jsonl",
           "--benchmarks", "exam.jsonl", "math-500"]
    assert main(["profile", profile, *own]) == 0
    params = load_params(project / "params.yaml")
    models = params.base_models
    assert [(model.kind, model.path, model.digest) for model in (models.student, models.teacher)] == [
        ("local", "models/small", None), ("local", "models/large", None)]
    assert (params.ingest.source, params.ingest.train) == ("files", "train.jsonl")
    assert params.ingest.benchmarks == ["exam.jsonl", "math-500"]
    assert params.package.teacher == "embedded"


def test_what_is_not_given_stays_with_its_comments(project):
    assert main(["profile", "real-cpu", "--student", "models/small"]) == 0
    ours, theirs = ((project / name).read_text().splitlines() for name in ("params.yaml", "params/real-cpu.yaml"))
    changed = [(new, old) for new, old in zip(ours, theirs, strict=True) if new != old]
    assert changed == [("    path: models/small", "    path: models/student")]


def test_path_outside_of_the_root_is_named_whole(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("weights")
    assert main(["profile", "real-cpu", "--teacher", str(elsewhere)]) == 0
    assert load_params(project / "params.yaml").base_models.teacher.path == str(elsewhere)


@pytest.mark.parametrize("given", [["--student", "gone"], ["--teacher", "gone"], ["--train", "gone"],
                                   ["--benchmarks", "exam.jsonl", "gone"]])
def test_path_that_names_nothing_leaves_params_as_they_were(given, project, capsys):
    assert main(["profile", "tiny"]) == 0
    before = (project / "params.yaml").read_bytes()
    assert main(["profile", "real-cpu", *given]) == 1
    assert "nothing at gone" in capsys.readouterr().err
    assert (project / "params.yaml").read_bytes() == before
