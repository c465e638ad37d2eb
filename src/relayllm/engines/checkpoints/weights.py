"""The weights in a model folder, read by their headers: how many, in which layers, and their digest."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

from relayllm.errors import ModelError

INDEX = "model.safetensors.index.json"
POINTER = b"version https://git-lfs"
"""How the file begins that git has in a large file's place, until `git lfs pull` fetches it."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of a safetensors header."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        """How many numbers the tensor holds."""
        return math.prod(self.shape)


def weights_of(folder: Path) -> dict[str, Tensor]:
    """Name -> tensor over all safetensors files of a folder.

    Raises:
        ModelError: there are none, one is cut off or damaged, or the index names a file that is missing.
    """
    files = sorted(folder.glob("*.safetensors"))
    named = _named(folder / INDEX)
    missing = sorted(named - {path.name for path in files})
    if missing or not files:
        raise ModelError(f"{folder} lacks {', '.join(missing[:3]) or 'weights (*.safetensors)'}: copy the folder "
                         "whole, every file of it")
    return {name: tensor for path in files for name, tensor in _header(path).items()}


def _named(index: Path) -> set[str]:
    """The files that an index of shards names; none where there is no index."""
    if not index.is_file():
        return set()
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} is no index of shards ({type(error).__name__}: {error}): copy it again") from error


def _header(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise ModelError(f"{path} is a link to {path.readlink()}, which is not there: copy the file itself")
    try:
        with path.open("rb") as file:
            first = file.read(8)
            if POINTER.startswith(first) and first:
                raise ModelError(f"{path} is what git has in the weights' place: run `git lfs pull` where it was "
                                 "cloned, then copy the folder again")
            length = int.from_bytes(first, "little")
            entries = json.loads(file.read(length))
        entries.pop("__metadata__", None)
        end = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        tensors = {name: Tensor(tuple(entry["shape"]), entry["dtype"]) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError) as error:
        raise ModelError(f"{path} is no safetensors file ({error}): copy it again") from error
    if path.stat().st_size < end:
        raise ModelError(f"{path} has {path.stat().st_size:,} bytes, its header speaks of {end:,}: it was cut off; "
                         "copy it again")
    return tensors


def weights_digest(folder: Path) -> str:
    """SHA-256 over the weight files of a folder, by name."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
