"""What two finished pipelines are compared by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

REPORT = "artifacts/report"
"""Tells seconds and is compared by its summary."""


def hashes(place: Path) -> dict[str, str]:
    """The hash of every output but the report, by its path."""
    lock = yaml.safe_load((place / "dvc.lock").read_text(encoding="utf-8"))
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]
            if out["path"] != REPORT}


def summary(place: Path) -> dict[str, Any]:
    """The report's numbers without seconds."""
    found = json.loads((place / REPORT / "summary.json").read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if name != "seconds"}
