"""Unpack a GGUF file into a folder that can be trained: transformers reads it, but keeps it packed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from relayllm.engines.loading import DTYPES
from relayllm.errors import ModelError
from relayllm.files import atomic_write

MAGIC = b"GGUF"


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF does."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def unpack(file: Path, folder: Path, dtype: str) -> None:
    """Write weights, config, tokenizer and chat template of a GGUF file as a model folder.

    Raises:
        ModelError: the package gguf is missing, the file is damaged, or transformers does not know its architecture.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if importlib.util.find_spec("gguf") is None:
        raise ModelError(f"{file} is a GGUF file, and the package gguf that reads it is not installed: run "
                         "`pip install relayllm[gguf]`, or name a folder with safetensors")
    if not is_gguf(file):
        raise ModelError(f"{file} is no GGUF file: it does not begin with {MAGIC.decode()}; copy it again")
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
        packed = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=DTYPES[dtype])
    except Exception as error:  # gguf, numpy and transformers each have errors of their own for what they cannot read
        raise ModelError(f"cannot unpack {file}: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}; "
                         "transformers unpacks Llama, Qwen2, Qwen3 and some others: take the folder the file was made "
                         "from") from error
    state, config = packed.state_dict(), packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # it would say that the weights are still packed, and refuse to be saved
    model = type(packed)(config).to(DTYPES[dtype])
    model.load_state_dict(state)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    with atomic_write(folder) as part:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
