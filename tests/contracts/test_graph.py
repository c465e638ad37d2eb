"""dvc.yaml, the stages, the params and the command line speak of the same things."""

import importlib
import inspect
import re
import typing
from pathlib import Path

import pytest
import yaml

from relayllm.cli import stage_names
from relayllm.config import Params, load_params

ROOT = Path(__file__).resolve().parents[2]
GRAPH = {name: entry.get("do", entry) for name, entry in
         yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items()}
ACTIONS = {"ingest"}
"""Stages that DVC does not run: `data.dvc` pins what they write."""
SHARED = {"profile", "seed"}
LEFT_OUT = {"grpo": set(), "evaluate": {"bootstrap"}}
"""Keys of a stage's section that it does not read: the report does."""


def sections() -> set[str]:
    return {field.alias or name for name, field in Params.model_fields.items()} - SHARED


def options(name: str) -> dict[str, str]:
    """Option -> value, as the stage's command gives them."""
    return dict(re.findall(r"--([\w-]+)\s+(\S+)", GRAPH[name]["cmd"]))


def paths(entries: list) -> list[str]:
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def function(name: str):
    return importlib.import_module(f"relayllm.stages.{name}").run


def test_stages_are_modules_are_sections_are_commands():
    assert set(GRAPH) | ACTIONS == set(stage_names()) == sections()


@pytest.mark.parametrize("name", GRAPH)
def test_command_gives_the_options_that_run_takes(name):
    taken = {option.name for option in inspect.signature(function(name)).parameters.values()
             if option.kind is option.KEYWORD_ONLY}
    assert {option.replace("-", "_") for option in options(name)} == taken
    assert GRAPH[name]["cmd"].startswith(f"relay {name.replace('_', '-')} ")


@pytest.mark.parametrize("name", stage_names())
def test_run_takes_its_own_section_or_all_params_and_says_what_it_does(name):
    first, *rest = inspect.signature(function(name)).parameters.values()
    kind = typing.get_type_hints(function(name))[first.name]
    assert kind is (Params if name in ("report", "ingest") else type(load_params(ROOT / "params.yaml").section(name)))
    assert all(option.kind is option.KEYWORD_ONLY for option in rest)
    assert inspect.getdoc(function(name)).split("\n")[0].endswith(".")


@pytest.mark.parametrize("name", GRAPH)
def test_stage_depends_on_its_section_and_its_code(name):
    entry = GRAPH[name]
    read = {key.split(".")[1] for key in entry["params"] if key.startswith(f"{name}.")}
    every = set(type(load_params(ROOT / "params.yaml").section(name)).model_fields)
    assert name in entry["params"] or every - read == LEFT_OUT[name]
    assert f"src/relayllm/stages/{name}.py" in entry["deps"]
    assert {key.partition(".")[0] for key in entry["params"]} <= sections() | SHARED


@pytest.mark.parametrize("name", GRAPH)
def test_paths_of_the_command_are_known_to_dvc(name):
    entry = GRAPH[name]
    known = entry["deps"] + [path for kind in ("outs", "metrics", "plots") for path in paths(entry.get(kind, []))]
    given = [value for value in options(name).values() if "/" in value or value == "data"]
    assert [path for path in given if path not in known] == []


@pytest.mark.parametrize("name", GRAPH)
def test_dependencies_are_files_of_ours_or_outputs_of_a_stage(name):
    made = {path for entry in GRAPH.values() for kind in ("outs", "metrics", "plots")
            for path in paths(entry.get(kind, []))}
    folders = {path[:at.start()] for path in made for at in re.finditer("/", path)}
    made = {path.replace("${key}", "${package.method}") for path in made} | made | folders | {"data"}
    assert [path for path in GRAPH[name]["deps"] if path not in made and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", GRAPH)
def test_stage_says_what_the_flow_adds(name):
    added = GRAPH[name]["meta"]["prefect"]
    assert added["retries"] in (0, 1, 2)
    assert added["tags"]
    assert GRAPH[name]["desc"]


def test_pictures_for_dvc_are_those_of_the_report_and_histories_of_runs():
    from relayllm.evaluation.report.render import PLOTS

    shown = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    assert [path for path in shown if isinstance(path, str)] == [f"artifacts/report/plots/{name}.png" for name in PLOTS]
    (learning,) = [plot["learning"]["y"] for plot in shown if isinstance(plot, dict)]
    assert [Path(path).parent.name for path in learning] == [load_params(ROOT / "params.yaml").evaluate.relay]


def test_nothing_is_written_into_data():
    outputs = [path for entry in GRAPH.values() for kind in ("outs", "metrics", "plots")
               for path in paths(entry.get(kind, []))]
    assert all(path.startswith("artifacts/") for path in outputs)
