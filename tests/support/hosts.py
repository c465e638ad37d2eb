"""A project that trains over several machines."""

from __future__ import annotations

from pathlib import Path

import pytest


def two_hosts(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """A hostfile of two machines with two slots each, named by the environment."""
    path = folder / "hosts"
    path.write_text("# ours\nnode-1 slots=2\n\nnode-2 slots=2  # the new one\n")
    for name, value in {"RELAY_HOSTFILE": path, "RELAY_ROOT": folder, "RELAY_RUNS": folder / "runs",
                        "RELAY_PARENT": "1"}.items():
        patch.setenv(name, str(value))
    return path
