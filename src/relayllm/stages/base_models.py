"""The models everything starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from relayllm.config import BaseModelsConfig, HubModel, TinyModel
from relayllm.errors import ConfigError
from relayllm.files import atomic_write, write_json
from relayllm.tracking.run import report_metrics

LIST = "teachers.json"
"""In the folder of other teachers, so that it is a folder with something in it when there are none."""


def run(config: BaseModelsConfig, *, data: Path, student: Path, teacher: Path, others: Path, metrics: Path) -> None:
    """Train the tiny world's student and teachers from scratch, or fetch pinned revisions from the hub."""
    roles = {"student": config.student, "teacher": config.teacher, **config.other_teachers}
    if len(roles) < 2 + len(config.other_teachers):
        raise ConfigError("base_models.other_teachers names one 'student' or 'teacher': give it another name")
    with ExitStack() as stack:
        part = stack.enter_context(atomic_write(others))
        part.mkdir()
        folders = {"student": student, "teacher": teacher, **{name: part / name for name in config.other_teachers}}
        _make(roles, folders)
        counts = {role: {"parameters": _parameters(folder)} for role, folder in folders.items()}
        write_json(part / LIST, {name: counts[name] for name in config.other_teachers})
    report_metrics(metrics, counts)


def _make(roles: Mapping[str, TinyModel | HubModel], folders: Mapping[str, Path]) -> None:
    tiny = {role: model for role, model in roles.items() if isinstance(model, TinyModel)}
    hub = {role: model for role, model in roles.items() if isinstance(model, HubModel)}
    if tiny and hub:
        raise ConfigError(f"base_models: {', '.join(tiny)} have a shape and {', '.join(hub)} a revision: give all of "
                          "them a shape (tiny), or an id and a revision (hub)")
    if tiny:
        from relayllm.training.tiny_world.base_models import train_all

        train_all({role: (model, folders[role]) for role, model in tiny.items()})
    for role, model in hub.items():
        from relayllm.engines.hub import fetch

        fetch(model, folders[role])


def _parameters(folder: Path) -> int:
    """Weights in the safetensors files, by their headers."""
    total = 0
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, tensor in header.items():
            if name != "__metadata__":
                size = 1
                for length in tensor["shape"]:
                    size *= length
                total += size
    return total
