"""Write `data/` and pin it in `data.dvc`: the action in front of the pipeline."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from flows import dvc_stages
from flows.processes import run
from relayllm.config import load_params
from relayllm.files import write_json
from relayllm.problems.sources.records import content_key, own_paths
from relayllm.settings import current_settings


def ingest(say: Callable[[str], None]) -> bool:
    """Write `data/` when the params ask for other data than lies there, and pin it; True when it did."""
    if not ingest_needed():
        return False
    root = current_settings().root
    run(["relay", "ingest", "--data", "data"], root, "relay ingest", say, dvc_stages.stage_log(root, "ingest"))
    dvc_stages.pin_data(root, say)
    write_json(_note(), {"key": _ingest_key()})
    return True


def _note() -> Path:
    return current_settings().runs / "ingest.json"


def ingest_needed() -> bool:
    """Whether `data/` is missing, or was made from other params, by other code, or for another pin."""
    note = _note()
    return not note.is_file() or json.loads(note.read_text()).get("key") != _ingest_key()


def _ingest_key() -> str:
    """Changes with what ingest reads of params.yaml, the files it names, the code that makes problems, and the pin."""
    root, params = current_settings().root, load_params(current_settings().params)
    config = params.ingest
    parts = [config.model_dump_json(), str(params.validate_.near_duplicate_similarity), str((root / "data").is_dir())]
    parts += [content_key(root / path) for path in own_paths(config)]
    parts += [path.read_text() for path in sorted((root / "src/relayllm/problems").rglob("*.py"))]
    parts += [(root / "data.dvc").read_text() if (root / "data.dvc").is_file() else ""]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
