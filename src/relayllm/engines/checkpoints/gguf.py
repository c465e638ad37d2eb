"""Read GGUF files: what they say about themselves, their tokenizer, and unpacked as a folder that can be trained."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from relayllm.errors import ModelError
from relayllm.files import atomic_write

if TYPE_CHECKING:
    from gguf import GGUFReader
    from transformers import PreTrainedTokenizerBase

MAGIC = b"GGUF"
TOKENIZER_JSON, TEMPLATE = "tokenizer.huggingface.json", "tokenizer.chat_template"
END_IDS, TOKENIZER_CONFIG = "relay.end_token_ids", "relay.tokenizer_config"
"""Keys of our own: the ids that end a text, and what a fast tokenizer is made of beside `tokenizer.json`."""
ENDS = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
"""Where the files of others say which ids end a text."""

CONFIG = {"hidden_size": "embedding_length", "num_hidden_layers": "block_count",
          "intermediate_size": "feed_forward_length", "num_attention_heads": "attention.head_count",
          "num_key_value_heads": "attention.head_count_kv", "head_dim": "attention.key_length",
          "max_position_embeddings": "context_length"}
"""Key of a config.json -> what GGUF calls it, behind the name of the architecture."""
NEEDED = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads")


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says before its weights."""

    ends: frozenset[int]
    """Ids that end a text."""
    matrix_types: frozenset[str]
    """Types of its matrices, by llama.cpp's names."""


def gguf_package() -> ModuleType:
    """Import the package gguf, which is an extra.

    Raises:
        ModelError: it is not installed.
    """
    try:
        import gguf
    except ImportError as error:
        raise ModelError("the package gguf, which reads and writes GGUF files, is not installed: run `pip install "
                         "relayllm[gguf]`, or name a folder with safetensors") from error
    return gguf


def names_gguf(source: str | Path) -> bool:
    """Whether a model's name is that of a GGUF file."""
    return str(source).endswith(".gguf")


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF does."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def read_header(file: Path) -> GgufHeader:
    """What a file says about itself.

    Raises:
        ModelError: it is missing or damaged, or the package gguf is.
    """
    reader = _reader(file)
    own = reader.fields.get(END_IDS)
    others = (reader.fields[key] for key in ENDS if key in reader.fields)
    ends = own.contents() if own is not None else [field.contents() for field in others]
    return GgufHeader(frozenset(map(int, ends)),
                      frozenset(tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) > 1))


def read_config(file: Path) -> dict[str, Any]:
    """The shape of the model in a file, under the keys of a config.json; no weights are read.

    Raises:
        ModelError: the file is missing or damaged, or the package gguf is.
        KeyError: the file does not say what a decoder's has to say.
    """
    reader = _reader(file)
    arch = str(reader.fields["general.architecture"].contents())
    said = {name.removeprefix(f"{arch}."): field for name, field in reader.fields.items()}
    tensors = {tensor.name for tensor in reader.tensors}
    counts = {key: int(said[name].contents()) for key, name in CONFIG.items() if name in said or key in NEEDED}
    return {**counts, "model_type": arch, "vocab_size": len(said["tokenizer.ggml.tokens"].data),
            "tie_word_embeddings": "output.weight" not in tensors, "attention_bias": "blk.0.attn_q.bias" in tensors}


def read_tokenizer(file: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a file: Hugging Face's own where the file has it, else what transformers makes of llama.cpp's.

    Raises:
        ModelError: the file is missing or damaged, or its tokenizer is of a kind that transformers does not read.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    fields = _reader(file).fields
    try:
        if TOKENIZER_JSON not in fields:
            return AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
        config = json.loads(fields[TOKENIZER_CONFIG].contents()) if TOKENIZER_CONFIG in fields else {}
        template = fields[TEMPLATE].contents() if TEMPLATE in fields else None
        core = Tokenizer.from_str(fields[TOKENIZER_JSON].contents())
        return PreTrainedTokenizerFast(tokenizer_object=core, chat_template=template, name_or_path=str(file), **config)
    except Exception as error:  # tokenizers raises plain exceptions
        raise ModelError(f"cannot read the tokenizer of {file}: {type(error).__name__}: {_first_line(error)}; export "
                         "the file again with `relay export`, or take the folder it was made from") from error


def unpack(file: Path, folder: Path, dtype: str) -> None:
    """Write weights, config, tokenizer and chat template of a GGUF file as a model folder, which can be trained.

    Raises:
        ModelError: the package gguf is missing, the file is damaged, or transformers does not know its architecture.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    fields, wanted = _reader(file).fields, getattr(torch, dtype)
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    try:
        config = AutoConfig.from_pretrained(**where)
        dim = fields.get(f"{fields['general.architecture'].contents()}.attention.key_length")
        if dim is not None and hasattr(config, "head_dim"):
            config.head_dim = int(dim.contents())  # transformers does not read it for every architecture
        packed = AutoModelForCausalLM.from_pretrained(**where, config=config, dtype=wanted)
    except Exception as error:  # gguf, numpy and transformers each have errors of their own for what they cannot read
        raise ModelError(f"cannot unpack {file}: {type(error).__name__}: {_first_line(error)}; transformers unpacks "
                         "Llama, Qwen2, Qwen3 and some others: take the folder the file was made from") from error
    state, config = packed.state_dict(), packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # it would say that the weights are still packed, and refuse to be saved
    model = type(packed)(config).to(wanted)
    model.load_state_dict(state)
    tokenizer = read_tokenizer(file)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    with atomic_write(folder) as part:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)


def _reader(file: Path) -> GGUFReader:
    gguf = gguf_package()
    if not file.is_file():
        raise ModelError(f"there is no GGUF file {file}: `relay export` writes one")
    if not is_gguf(file):
        raise ModelError(f"{file} is no GGUF file: it does not begin with {MAGIC.decode()}; copy it again")
    try:
        return gguf.GGUFReader(file)
    except Exception as error:  # what a cut-off file makes of numpy's views
        raise ModelError(f"cannot read {file}: {type(error).__name__}: {_first_line(error)}; it was cut off or "
                         "damaged: copy it again") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:300]
