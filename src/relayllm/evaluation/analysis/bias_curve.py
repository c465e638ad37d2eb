"""The bias curve: accuracy and call ratio of one policy that calls less often, or for longer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relayllm.errors import DataError
from relayllm.evaluation.analysis.comparisons import number
from relayllm.files import write_json
from relayllm.relay.bias_curve import OWN, CallSetting

FILE = "bias_curve.json"
"""Beside the records: the setting of each `call-ratio-Mx`, and what every one spent on training problems."""
CELLS = ("call_ratio", "call_ratio_ci", "accuracy", "accuracy_ci")


def write_bias_curve(folder: Path, relay: str, settings: Mapping[str, CallSetting],
                     training: Mapping[CallSetting, float]) -> None:
    """Write the calibrated settings: `settings` by method, `training` from setting to call ratio."""
    write_json(folder / FILE, {
        "relay": relay, "settings": {name: _numbers(setting) for name, setting in settings.items()},
        "training": [{**_numbers(setting), "call_ratio": number(training[setting])} for setting in sorted(training)]})


def _numbers(setting: CallSetting) -> dict[str, Any]:
    return {"call_bias": number(setting.call_bias), "min_call_tokens": setting.min_call_tokens}


def read_bias_curve(folder: Path) -> dict[str, Any] | None:
    """Read what `write_bias_curve` wrote; None when no `call-ratio-Mx` was evaluated.

    Raises:
        DataError: the file is not what `write_bias_curve` wrote.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"relay": found["relay"], "training": list(found["training"]),
                "settings": {name: CallSetting(**setting) for name, setting in found["settings"].items()}}
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error}): `dvc repro -f evaluate` writes it again") from error


def curve(methods: Mapping[str, Any], found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The curve as the summary holds it: a point per method, the policy's own among them, the cheapest first.

    `methods` is the summary's table; `training` is passed on, for the package to look settings up in.
    """
    if found is None:
        return None
    settings = {found["relay"]: OWN, **found["settings"]}
    points = [{"method": name, **_numbers(setting), **{key: methods[name]["average"][key] for key in CELLS}}
              for name, setting in sorted(settings.items(), key=lambda item: item[1]) if name in methods]
    return {"relay": found["relay"], "points": points, "training": found["training"]}
