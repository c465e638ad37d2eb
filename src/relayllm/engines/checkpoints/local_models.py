"""Models that are on this machine already: copied, unpacked or put together once, known by their content."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

from relayllm.config import LocalModel
from relayllm.engines.checkpoints.adapters import ADAPTER
from relayllm.engines.checkpoints.gguf import is_gguf, unpack
from relayllm.engines.checkpoints.hub import WANTED
from relayllm.engines.checkpoints.weights import weights_of
from relayllm.engines.loading import load_model, load_tokenizer
from relayllm.errors import ModelError
from relayllm.files import atomic_write


def locate(model: LocalModel, root: Path) -> Path:
    """The folder or GGUF file that a profile names.

    Raises:
        ModelError: there is nothing, or something that is no model.
    """
    path = (root / Path(model.path).expanduser()).resolve()
    if path.is_file():
        if not is_gguf(path):
            raise ModelError(f"{path} is no GGUF file: it does not begin with GGUF; copy it again, or, if it is a part "
                             "of a model folder, name the folder it lies in")
        return path
    if not path.is_dir():
        raise ModelError(f"no model at {path}: params.yaml, base_models names {model.path!r}; put or link the folder, "
                         "or the GGUF file, there, or change the path")
    packed = sorted(path.glob("*.gguf"))
    if (path / "config.json").is_file() or (path / ADAPTER).is_file():
        return path
    if len(packed) == 1:
        return packed[0]
    raise ModelError(f"{path} is no model: it has neither config.json nor {ADAPTER}, "
                     + (f"and {len(packed)} GGUF files: name one of them" if packed else
                        "and no GGUF file: copy the model's folder whole, or change the path in params.yaml"))


def content_digest(path: Path) -> str:
    """SHA-256 of a GGUF file, or of the files of a model folder that count, by name."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else _wanted(path):
        if path.is_dir():
            digest.update(file.name.encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def check_digest(model: LocalModel, found: str) -> None:
    """Refuse other content than the profile pins.

    Raises:
        ModelError: the digests differ.
    """
    if model.digest not in (None, found):
        raise ModelError(f"{model.path} has the digest {found}, params.yaml pins {model.digest}: take the pinned "
                         "files, or write the digest found into params.yaml")


def copy_model(source: Path, folder: Path, dtype: str) -> None:
    """Bring a model folder or a GGUF file into a folder of safetensors.

    Raises:
        ModelError: weights are missing or damaged.
    """
    if source.is_file():
        unpack(source, folder, dtype)
    elif any(source.glob("*.safetensors")) or not any(source.glob("pytorch_model*.bin")):
        weights_of(source)
        with atomic_write(folder) as part:
            part.mkdir()
            for file in _wanted(source):
                shutil.copyfile(file, part / file.name)
    else:
        model, tokenizer = load_model(source, device="cpu"), load_tokenizer(source)
        with atomic_write(folder) as part:
            model.save_pretrained(part)
            tokenizer.save_pretrained(part)


def _wanted(folder: Path) -> Iterable[Path]:
    """What belongs to the model; optimizer states, logs and other formats of the same weights do not."""
    patterns = (*WANTED, "*.bin") if not any(folder.glob("*.safetensors")) else WANTED
    return sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})
