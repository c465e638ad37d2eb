"""Settings found: what calibration chose for each method, what it spends in training, and whether that was reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relayllm.errors import DataError
from relayllm.evaluation.analysis.comparisons import number
from relayllm.evaluation.calibration import Setting
from relayllm.files import write_json

FILE = "settings.json"
"""Beside the records."""


def write_settings(folder: Path, found: Mapping[str, Setting]) -> None:
    """Write what calibration found for each method."""
    write_json(folder / FILE, {name: {
        "setting": number(one.value), "train_call_ratio": number(one.call_ratio), "train_target": number(one.target),
        "seen": [number(bound) for bound in one.seen], "reached": one.reached} for name, one in found.items()})


def read_settings(folder: Path) -> dict[str, Any]:
    """Read what `write_settings` wrote; nothing where no method was calibrated.

    Raises:
        DataError: the file is not JSON.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}): `dvc repro -f evaluate` writes it again") from error
