"""The `relay` command: stages by their signatures, known errors as one line, no work left behind."""

from __future__ import annotations

import pytest
import yaml

from relayllm.cli import COMMANDS, main, stage_names
from relayllm.commands.pool_note import ANSWERS, PRICES, ran_with_another
from relayllm.problems.problem import Problem, write_problems
from relayllm.settings import current_settings
from tests.support.places import ROOT


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty project."""
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path))
    return tmp_path


def test_help_names_every_stage_and_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(name.replace("_", "-") in text for name in [*stage_names(), *COMMANDS])
    assert "Fine-tune the student on completions that contain" in text


@pytest.mark.parametrize("name", stage_names())
def test_stage_help_lists_the_keyword_arguments_of_run(name, capsys):
    import importlib
    import inspect

    with pytest.raises(SystemExit):
        main([name.replace("_", "-"), "--help"])
    text = capsys.readouterr().out
    options = inspect.signature(importlib.import_module(f"relayllm.stages.{name}").run).parameters.values()
    assert all("--" + option.name.replace("_", "-") in text for option in options
               if option.kind is option.KEYWORD_ONLY)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_help_works(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"relay {name}" in capsys.readouterr().out


@pytest.mark.parametrize(("variable", "value", "said"), [
    ("RELAY_TEACHERS", "nonsense", "RELAY_TEACHERS is 'nonsense'"), ("RELAY_STUDENT_URLS", "here", "NAME=http"),
    ("RELAY_ROLLOUT_URLS", "a=b", "NAME=http"),
])
def test_setting_that_says_nothing_is_one_line(variable, value, said, monkeypatch, capsys):
    monkeypatch.setenv(variable, value)
    assert main(["sync"]) == 1
    assert said in capsys.readouterr().err.splitlines()[0]


@pytest.mark.parametrize("target", ["file", "file/data"])
def test_output_that_cannot_be_written_is_one_line_with_the_path_as_given(target, place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/mlflow.db")
    text = (ROOT / "params" / "smoke.yaml").read_text()
    (place / "params.yaml").write_text(text)
    (place / "file").write_text("kept")
    assert main(["ingest", "--data", target]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("relay: ")
    assert " file: " in said
    assert (place / "file").read_text() == "kept"
    assert not list(place.glob(".*.part"))


@pytest.mark.parametrize("words", [["profile"], ["profile", "tiny"]])
def test_profile_in_a_wrong_folder_says_where_profiles_are_looked_for(words, place, capsys):
    assert main(words) == 1
    assert f"no profiles in {place}/params" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["nonsense"], ["filter"], ["validate", "--data", "x"]])
def test_incomplete_command_line_is_refused(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: relay" in capsys.readouterr().err


def test_interrupted_command_says_so_in_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "interrupted.py").write_text("def add_arguments(parser): pass\n"
                                             "def main(arguments): raise KeyboardInterrupt\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, "wait", ("interrupted", "Wait."))
    assert main(["wait"]) == 130
    assert capsys.readouterr() == ("", "relay: interrupted\n")


def test_known_error_is_one_message_and_exit_code_1(place, capsys):
    assert main(["validate", "--data", str(place), "--report", str(place / "report")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("relay: ConfigError: no ")
    assert "Traceback" not in error


def test_stage_of_dvc_with_params_that_dvc_does_not_hash_is_refused(place, capsys, monkeypatch):
    (place / "other.yaml").write_bytes((ROOT / "params/smoke.yaml").read_bytes())
    monkeypatch.setenv("RELAY_PARAMS", str(place / "other.yaml"))
    monkeypatch.setenv("DVC_STAGE", "validate")
    assert main(["validate", "--data", str(place), "--report", str(place / "report")]) == 1
    assert "ConfigError: RELAY_PARAMS is" in capsys.readouterr().err


def test_stage_notes_with_which_pool_of_teachers_it_ran(place, monkeypatch):
    (place / "data").mkdir()
    write_problems(place / "data/train.jsonl", [Problem("p", "2*2?", "4")])
    params = yaml.safe_load((ROOT / "params/smoke.yaml").read_text())
    params["filter"]["enabled"] = False
    (place / "params.yaml").write_text(yaml.safe_dump(params))
    (place / "teachers.yaml").write_text("teachers: [{name: big, urls: ['http://a'], prices: {teacher: 1}}]")
    words = ["filter", "--data", str(place / "data"), "--teacher", str(place), "--kept", str(place / "kept.jsonl"),
             "--metrics", str(place / "metrics.json")]
    monkeypatch.setenv("RELAY_TEACHERS", str(place / "teachers.yaml"))
    assert main(words) == 0
    assert not ran_with_another(current_settings(), "filter", (ANSWERS, PRICES))
    (place / "teachers.yaml").write_text("teachers: [{name: big, urls: ['http://a'], prices: {teacher: 2}}]")
    assert ran_with_another(current_settings(), "filter", (PRICES,))
    assert not ran_with_another(current_settings(), "filter", (ANSWERS,))
    monkeypatch.delenv("RELAY_TEACHERS")
    assert ran_with_another(current_settings(), "filter", (ANSWERS,))


def test_profile_is_copied_byte_for_byte(place):
    (place / "params").mkdir()
    text = (ROOT / "params/smoke.yaml").read_bytes()
    (place / "params/smoke.yaml").write_bytes(text)
    assert main(["profile", "smoke"]) == 0
    assert (place / "params.yaml").read_bytes() == text


def test_profile_unknown_names_those_there_are(place, capsys):
    (place / "params").mkdir()
    (place / "params/smoke.yaml").write_bytes((ROOT / "params/smoke.yaml").read_bytes())
    assert main(["profile", "huge"]) == 1
    assert "no profile 'huge': there are smoke" in capsys.readouterr().err


def test_profile_that_does_not_fit_leaves_params_alone(place, capsys):
    (place / "params").mkdir()
    (place / "params/bad.yaml").write_text("profile: bad\n")
    (place / "params.yaml").write_text("mine")
    assert main(["profile", "bad"]) == 1
    assert (place / "params.yaml").read_text() == "mine"
