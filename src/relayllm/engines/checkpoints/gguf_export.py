"""Write a model folder as a GGUF file, which llama.cpp reads.

The names of keys and tensors are those of the package gguf. The tokenizer is written twice: as llama.cpp wants it, and
whole, as Hugging Face's `tokenizer.json`, so that the relay cuts text as in training.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from relayllm.engines.checkpoints.gguf import END_IDS, TOKENIZER_CONFIG, TOKENIZER_JSON, gguf_package
from relayllm.engines.loading import end_ids, load_model, load_tokenizer
from relayllm.errors import ConfigError, ModelError
from relayllm.files import atomic_write

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType, GGUFWriter
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

ARCHITECTURES = {"LlamaForCausalLM": "llama", "Qwen2ForCausalLM": "qwen2", "Qwen3ForCausalLM": "qwen3"}
"""Class of transformers -> name of llama.cpp."""
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""Kinds of tokens in a GGUF file."""
FLOATS = ("F32", "F16", "BF16")
"""What matrices are written as without llama.cpp; vectors are always F32."""


def export(source: Path, file: Path, kind: str = "F32") -> None:
    """Write the model in the folder `source` as `file`, its matrices in `kind`.

    Raises:
        ModelError: the folder is no model, or of an architecture or a tokenizer that this does not write; or the
            package gguf is missing.
        ConfigError: `kind` is none of `FLOATS`.
    """
    if kind not in FLOATS:
        raise ConfigError(f"no type {kind!r}: without llama.cpp there are {', '.join(FLOATS)}")
    gguf = gguf_package()
    tokenizer, model = load_tokenizer(source), load_model(source, device="cpu")
    config = model.config.get_text_config()
    check_exportable(config, tokenizer, source)
    with atomic_write(file) as part:
        writer = gguf.GGUFWriter(part, _architecture(config))
        _write_shape(writer, config, source.resolve().name, len(model.get_input_embeddings().weight), kind)
        _write_tokenizer(writer, tokenizer, len(model.get_input_embeddings().weight), sorted(end_ids(model, tokenizer)))
        for name, array, stored in _tensors(model, config, kind):
            writer.add_tensor(name, array, raw_dtype=stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def check_exportable(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, source: Path) -> None:
    """Refuse what would be written wrongly.

    Raises:
        ModelError: another architecture, positions that are scaled, or a tokenizer that is no byte-level BPE.
    """
    scaling = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    core = json.loads(tokenizer.backend_tokenizer.to_str()) if getattr(tokenizer, "is_fast", False) else {}
    name = (config.architectures or ["unknown"])[0]
    if name not in ARCHITECTURES:
        raise ModelError(f"{source} is a {name}, and only {', '.join(ARCHITECTURES)} are exported: use llama.cpp's own "
                         "convert_hf_to_gguf.py, whose files are served as well")
    if scaling != "default":
        raise ModelError(f"{source} scales its positions ({scaling}), which is not exported here: use llama.cpp's own "
                         "convert_hf_to_gguf.py, whose files are served as well")
    if core.get("model", {}).get("type") != "BPE" or "ByteLevel" not in json.dumps(core.get("pre_tokenizer")):
        raise ModelError(f"the tokenizer of {source} is {core.get('model', {}).get('type', 'a slow one')}, and only "
                         "byte-level BPE is exported: use llama.cpp's own convert_hf_to_gguf.py")


def _architecture(config: PreTrainedConfig) -> str:
    return ARCHITECTURES[config.architectures[0]]


def _write_shape(writer: GGUFWriter, config: PreTrainedConfig, name: str, vocabulary: int, kind: str) -> None:
    """What llama.cpp wants to know of the layers."""
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(dim)
    writer.add_value_length(dim)
    writer.add_rope_dimension_count(dim)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(vocabulary)
    writer.add_file_type({"F32": 0, "F16": 1, "BF16": 32}[kind])


def _write_tokenizer(writer: GGUFWriter, tokenizer: PreTrainedTokenizerFast, rows: int, ends: list[int]) -> None:
    whole = tokenizer.backend_tokenizer.to_str()
    core = json.loads(whole)
    tokens, kinds = _vocabulary(tokenizer, rows)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_pre_tokenizer(core["pre_tokenizer"]))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in core["model"]["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_add_bos_token(tokenizer.encode("")[:1] == [tokenizer.bos_token_id])
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
    writer.add_string(TOKENIZER_JSON, whole)
    writer.add_string(TOKENIZER_CONFIG, json.dumps(_special_tokens(tokenizer)))
    writer.add_array(END_IDS, ends)


def _vocabulary(tokenizer: PreTrainedTokenizerFast, rows: int) -> tuple[list[str], list[int]]:
    """Every row of the embedding by name, with its kind; rows beyond the tokenizer only pad the table."""
    names = {index: token for token, index in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    kinds = [UNUSED if index not in names else NORMAL if index not in added else
             CONTROL if added[index].special else USER_DEFINED for index in range(rows)]
    return [names.get(index, f"[PAD{index}]") for index in range(rows)], kinds


def _pre_tokenizer(pre: dict[str, Any]) -> str:
    """Llama.cpp's name for how text is cut before BPE: by what tells the published ones apart."""
    text = json.dumps(pre)
    if r"\\p{N}{1,3}" in text:
        return "llama-bpe"
    if '"individual_digits": true' in text:
        return "smollm"
    return "qwen2" if r"\\p{N}" in text else "gpt-2"


def _special_tokens(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    found = {name: getattr(tokenizer, name) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    return {"model_max_length": min(tokenizer.model_max_length, 2 ** 31),
            **{name: str(token) for name, token in found.items() if token is not None}}


def _tensors(model: PreTrainedModel, config: PreTrainedConfig,
             kind: str) -> Iterator[tuple[str, np.ndarray, GGMLQuantizationType | None]]:
    """Name, data, and type where it is not the array's, of every tensor; a head tied to the embedding is left out."""
    gguf = gguf_package()
    arch = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == _architecture(config))
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and tied:
            continue
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise ModelError(f"llama.cpp knows no tensor {name} in a {_architecture(config)}: use its own "
                             "convert_hf_to_gguf.py")
        stored = kind if tensor.ndim > 1 else "F32"
        yield found, *_array(_rotated(name, tensor, config), stored, gguf)


def _array(tensor: torch.Tensor, kind: str, gguf: ModuleType) -> tuple[np.ndarray, GGMLQuantizationType | None]:
    whole = tensor.detach().float().contiguous().numpy()
    if kind == "BF16":
        return gguf.quants.quantize(whole, gguf.GGMLQuantizationType.BF16), gguf.GGMLQuantizationType.BF16
    return whole.astype(np.float16 if kind == "F16" else np.float32), None


def _rotated(name: str, tensor: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
    """Queries and keys of a Llama with the two halves of each head interleaved, as llama.cpp turns them."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
    if _architecture(config) != "llama" or heads is None:
        return tensor
    halves = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return halves.transpose(1, 2).reshape(tensor.shape)
