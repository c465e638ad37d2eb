"""The note of the last release, `runs/release.json`, and what the registry says of that version now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relayllm.files import write_json
from relayllm.registry.faults import check_registry
from relayllm.settings import current_settings, without_secrets
from relayllm.tracking.provenance import file_hash

if TYPE_CHECKING:
    from relayllm.registry.client import Version
    from relayllm.registry.release_status import ReleaseStatus


def write_note(version: Version, *, champion: bool, reason: str) -> dict[str, Any]:
    """Note what was released, from which files, into which registry; returns the note."""
    note = {**_origin(), "name": version.name, "version": version.number, "champion": champion, "reason": reason}
    write_json(_path(), note)
    return note


def read_note() -> dict[str, Any]:
    """The note of the last release; empty when it was of other files or into another registry."""
    note: dict[str, Any] = json.loads(_path().read_text(encoding="utf-8")) if _path().is_file() else {}
    return note if note.items() >= _origin().items() else {}


def last_release() -> ReleaseStatus | None:
    """What became of the last release, asked of the registry; None when there was none of these files into it.

    Raises:
        RegistryError: the registry is out of reach.
    """
    note = read_note()
    if not note:
        return None
    check_registry()
    from relayllm.registry.client import Registry
    from relayllm.registry.release_status import release_status

    return release_status(Registry(), str(note["name"]), int(note["version"]))


def _path() -> Path:
    return current_settings().runs / "release.json"


def _origin() -> dict[str, str]:
    settings = current_settings()
    return {"dvc_lock": file_hash(settings.root / "dvc.lock"), "registry": without_secrets(settings.registry_uri)}
