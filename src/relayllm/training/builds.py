"""What a killed build of a DeepSpeed kernel leaves behind.

DeepSpeed compiles its optimizer at the first use. Torch holds a lock file meanwhile, and waits for ever for one that a
killed process left.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def drop_stale_locks(folder: Path | None = None) -> list[Path]:
    """Remove the locks that no process of this machine holds open any more; returns them."""
    from torch.utils.cpp_extension import get_default_build_root

    folder = folder or Path(os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root())
    locks = [*folder.glob("*/lock"), *folder.glob("*/*/lock")]
    if not locks:
        return []
    held = _open_files()
    stale = [lock for lock in locks if lock.resolve() not in held]
    for lock in stale:
        lock.unlink(missing_ok=True)
    return stale


def _open_files() -> set[Path]:
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # it ended, or it is not ours
            found.add(Path(os.readlink(link)))
    return found
