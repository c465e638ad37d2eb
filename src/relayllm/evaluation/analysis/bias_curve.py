"""The bias curve: accuracy and call ratio of one policy at several call biases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relayllm.errors import DataError
from relayllm.evaluation.analysis.comparisons import number
from relayllm.files import write_json

FILE = "bias_curve.json"
"""Beside the records: the call bias of each `call-ratio-Mx`, and what every bias spent on training problems."""
CELLS = ("call_ratio", "call_ratio_ci", "accuracy", "accuracy_ci")


def write_bias_curve(folder: Path, relay: str, biases: Mapping[str, float], training: Mapping[float, float]) -> None:
    """Write what was found: `biases` by method, `training` from bias to call ratio."""
    write_json(folder / FILE, {
        "relay": relay, "biases": {name: number(bias) for name, bias in biases.items()},
        "training": [{"call_bias": number(bias), "call_ratio": number(training[bias])} for bias in sorted(training)]})


def read_bias_curve(folder: Path) -> dict[str, Any] | None:
    """What was found; None when no `call-ratio-Mx` was evaluated.

    Raises:
        DataError: the file is not what `write_bias_curve` wrote.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"relay": found["relay"], "biases": dict(found["biases"]), "training": list(found["training"])}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error}): `dvc repro -f evaluate` writes it again") from error


def curve(methods: Mapping[str, Any], found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """As it stands in the summary: a point per method from the lowest bias to the highest, the policy's own among them.

    `methods` is the summary's table; `training` is passed on, for the package to look biases up in.
    """
    if found is None:
        return None
    biases = {found["relay"]: 0.0, **found["biases"]}
    points = [{"method": name, "call_bias": bias, **{key: methods[name]["average"][key] for key in CELLS}}
              for name, bias in sorted(biases.items(), key=lambda item: item[1]) if name in methods]
    return {"relay": found["relay"], "points": points, "training": found["training"]}
