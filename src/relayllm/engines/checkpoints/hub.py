"""Fetch pinned models from the hub."""

from __future__ import annotations

from pathlib import Path

from relayllm.config import HubModel
from relayllm.errors import ModelError
from relayllm.files import atomic_write

WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def fetch(model: HubModel, folder: Path) -> None:
    """Download one revision into a folder.

    Raises:
        ModelError: the hub is out of reach or does not know the revision.
    """
    from huggingface_hub import snapshot_download

    with atomic_write(folder) as part:
        try:
            snapshot_download(model.id, revision=model.revision, local_dir=part, allow_patterns=WANTED)
        except Exception as error:  # the hub's client raises a dozen kinds
            raise ModelError(f"cannot fetch {model.id} at {model.revision}: {type(error).__name__}: "
                             f"{(str(error).splitlines() or [''])[0][:200]}; check id and revision in params.yaml, "
                             "base_models. Without a network bring the folder here and name it: `kind: local`, "
                             "`path: FOLDER`, `digest: null`") from error
