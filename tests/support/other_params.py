"""A project whose RELAY_PARAMS names other params than its params.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.places import ROOT


def project_with_other_params(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """`params.yaml` registers a model as "ours", `other.yaml`, which the environment names, as "theirs"."""
    params = yaml.safe_load((ROOT / "params/smoke.yaml").read_text())
    for file, name in (("params.yaml", "ours"), ("other.yaml", "theirs")):
        params["package"]["registered_name"] = name
        (folder / file).write_text(yaml.safe_dump(params))
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        patch.delenv(variable, raising=False)
    patch.setenv("RELAY_ROOT", str(folder))
    patch.setenv("RELAY_PARAMS", str(folder / "other.yaml"))
    return folder
