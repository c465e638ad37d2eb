"""Stage base_models: the student and the teachers that everything starts from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from relayllm.config import BaseModelsConfig, HubModel, LocalModel, ModelSource, TinyModel, load_params
from relayllm.errors import ConfigError
from relayllm.files import atomic_write, write_json
from relayllm.progress import print_line
from relayllm.settings import current_settings
from relayllm.tracking.run import report_metrics

LIST = "teachers.json"
"""In the folder of other teachers, so that it is a folder with something in it when there are none."""


def run(config: BaseModelsConfig, *, data: Path, student: Path, teacher: Path, others: Path, metrics: Path) -> None:
    """Make the student and the teachers: train tiny ones, fetch pinned revisions, or take folders and GGUF files.

    What later stages would refuse these models for is refused here.
    """
    roles: dict[str, ModelSource] = {"student": config.student, "teacher": config.teacher, **config.other_teachers}
    if len(roles) < 2 + len(config.other_teachers):
        raise ConfigError("base_models.other_teachers names one 'student' or 'teacher': give it another name")
    with ExitStack() as stack:
        part = stack.enter_context(atomic_write(others))
        part.mkdir()
        folders = {"student": student, "teacher": teacher, **{name: part / name for name in config.other_teachers}}
        digests = _make(config, roles, folders)
        counts = _check(data, folders)
        found: dict[str, dict[str, Any]] = {role: {"parameters": counts[role], **digests.get(role, {})}
                                            for role in folders}
        write_json(part / LIST, {name: found[name] for name in config.other_teachers})
    report_metrics(metrics, found)


def _make(config: BaseModelsConfig, roles: Mapping[str, ModelSource],
          folders: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Write every folder; returns the digests of those that were on this machine."""
    tiny = {role: (model, folders[role]) for role, model in roles.items() if isinstance(model, TinyModel)}
    digests = {role: {"digest": _bring(role, model, folders[role], config.dtype)} for role, model in roles.items()
               if isinstance(model, LocalModel)}
    for role, model in roles.items():
        if isinstance(model, HubModel):
            from relayllm.engines.checkpoints.hub import fetch

            fetch(model, folders[role])
    if tiny:
        from relayllm.training.tiny_world.base_models import train_all

        train_all(tiny)
    return digests


def _bring(role: str, model: LocalModel, folder: Path, dtype: str) -> str:
    from relayllm.engines.checkpoints.adapters import base_of, is_adapter
    from relayllm.engines.checkpoints.fitness import check_model, role_of
    from relayllm.engines.checkpoints.local_models import check_digest, content_digest, copy_model, locate

    root = current_settings().root
    source = locate(model, root)
    if any(source.glob("*.safetensors")) and not is_adapter(source):
        check_model(source, role, role_of(role))  # before gigabytes are read, and with the name that the user gave
    digest = content_digest(source)
    check_digest(model, digest)
    print_line(f"{role}: {source}, digest {digest}")
    if is_adapter(source):
        from relayllm.training.lora import trains_commands, write_merged

        write_merged(base_of(source, root), source, dtype, folder, commands=trains_commands(source))
    else:
        copy_model(source, folder, dtype)
    return digest


def _check(data: Path, folders: Mapping[str, Path]) -> dict[str, int]:
    """Refuse what does not fit its role, warn of what seldom helps; returns the number of parameters of each."""
    from relayllm.engines.checkpoints.fitness import check_model, role_of, size_warnings
    from relayllm.training.preflight import check_later_stages

    checked = {name: check_model(folder, name, role_of(name)) for name, folder in folders.items()}
    counts = {name: found.parameters for name, found in checked.items()}
    params = current_settings().params
    later = (check_later_stages(load_params(params), data, folders["student"], folders["teacher"])
             if params.is_file() else [])
    for warning in [*(line for found in checked.values() for line in found.warnings), *size_warnings(counts), *later]:
        print_line(f"warning: {warning}")
    return counts
