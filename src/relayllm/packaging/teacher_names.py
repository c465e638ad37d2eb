"""Teachers as others may know them: no folder and no address of the machines behind this one."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def shown_teacher(name: str) -> str:
    """The name of a pool's teacher or of a model; `remote` for an address, and of a folder its last part."""
    if name.startswith(("http://", "https://")):
        return "remote"
    return Path(name).name if Path(name).is_absolute() or Path(name).exists() else name
