"""Folders of adapters, as peft writes them: what they say about themselves, and over which model they were trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from relayllm.engines.checkpoints.weights import weights_of
from relayllm.errors import ModelError

ADAPTER = "adapter_config.json"


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model of its own."""
    return (folder / ADAPTER).is_file() and not (folder / "config.json").is_file()


def adapter_settings(folder: Path) -> dict[str, Any]:
    """What an adapter says about itself.

    Raises:
        ModelError: it cannot be read.
    """
    path = folder / ADAPTER
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"cannot read {path}: {type(error).__name__}: {error}; copy the adapter again") from error


def refuse_adapter(folder: Path) -> None:
    """Say what an adapter is, where a model is wanted.

    Raises:
        ModelError: the folder holds an adapter.
    """
    if is_adapter(folder):
        base = adapter_settings(folder).get("base_model_name_or_path")
        raise ModelError(f"{folder} is an adapter over {base!r}, which no model is by itself: name it as a local model "
                         "in base_models of params.yaml, and the stage base_models writes it merged")


def base_of(adapter: Path, root: Path) -> Path:
    """The folder of the model that an adapter was trained over, as the adapter says.

    Raises:
        ModelError: it does not say, or what it names is no folder here.
    """
    name = adapter_settings(adapter).get("base_model_name_or_path")
    base = (root / Path(name or "")).resolve()
    if not name or not (base / "config.json").is_file():
        raise ModelError(f"{adapter} is an adapter over {name!r}, and that is no model folder here: write the folder "
                         f"of its base into base_model_name_or_path of {adapter / ADAPTER}")
    return base


def check_adapter(adapter: Path) -> None:
    """Refuse an adapter whose weights are missing, cut off or damaged.

    Raises:
        ModelError: they are.
    """
    if not any(adapter.glob("adapter_model.bin")):
        weights_of(adapter)
