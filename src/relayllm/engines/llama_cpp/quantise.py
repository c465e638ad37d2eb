"""Round the weights of a GGUF file to fewer bits, as llama.cpp does."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from relayllm.engines.checkpoints.gguf import gguf_package
from relayllm.engines.llama_cpp.library import last_error, library
from relayllm.errors import ConfigError, ModelError
from relayllm.files import atomic_write


def file_types() -> dict[str, int]:
    """Llama.cpp's names of how a file's weights may be rounded, Q4_K_M and its like, with their numbers."""
    found = {kind.name.removeprefix("MOSTLY_"): int(kind) for kind in gguf_package().LlamaFileType}
    return {name: number for name, number in found.items() if name.startswith(("Q", "IQ", "TQ"))}


def check_type(kind: str) -> None:
    """Refuse what is no type, before anything is written.

    Raises:
        ConfigError: there is no such type.
    """
    known = file_types()
    if kind not in known:
        raise ConfigError(f"no type {kind!r}: there are F32, F16 and BF16, and llama.cpp rounds to {', '.join(known)}")


def quantise(source: Path, file: Path, kind: str) -> None:
    """Write the model of one GGUF file as another.

    Matrices whose rows the type does not divide (256 numbers for the K types) are rounded to a coarser grain.

    Raises:
        ConfigError: there is no such type, or llama-cpp-python is not installed.
        ModelError: llama.cpp could not do it.
    """
    check_type(kind)
    api = library()
    params = api.llama_model_quantize_default_params()
    params.ftype, params.nthread = file_types()[kind], os.cpu_count() or 1
    with atomic_write(file) as part:
        if api.llama_model_quantize(str(source).encode(), str(part).encode(), ctypes.byref(params)):
            raise ModelError(f"llama.cpp could not write {source} as {kind}: {last_error()}")
