"""A GGUF file becomes a folder that computes the same, with its tokenizer and chat template, and can be trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from relayllm.engines.checkpoints.gguf import unpack
from relayllm.engines.checkpoints.model_shapes import folder_shape, local_shape
from relayllm.engines.loading import load_model, load_tokenizer
from relayllm.errors import ConfigError, ModelError
from tests.support.small_models import make_model, other_tokenizer

gguf = pytest.importorskip("gguf")

NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "input_layernorm": "attn_norm",
         "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
         "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_name(name: str) -> str:
    name = name.replace("model.layers.", "blk.")
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    return name


def write_gguf(path: Path, model, tokenizer, arch: str = "qwen2") -> Path:
    """The file that llama.cpp's converter would make of a Qwen2 model, in float32."""
    writer, config = gguf.GGUFWriter(str(path), arch), model.config
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    core = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = [token for token, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]
    special = set(tokenizer.all_special_tokens) | {"<|im_start|>"}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in core["model"]["merges"]])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    for name, weight in model.state_dict().items():
        if name != "lm_head.weight":
            writer.add_tensor(gguf_name(name), weight.detach().float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_unpack_gives_the_model_its_tokenizer_and_its_chat_template(tmp_path):
    tokenizer = other_tokenizer()
    model = make_model("qwen2", tokenizer, seed=1)
    unpack(write_gguf(tmp_path / "small.gguf", model, tokenizer), tmp_path / "folder", "float32")
    ours, words = load_model(tmp_path / "folder", device="cpu"), load_tokenizer(tmp_path / "folder")
    text = "There are pens in the boxes."  # Qwen splits numbers, the small tokenizer does not
    assert words.encode(text) == tokenizer.encode(text)
    assert words.chat_template == tokenizer.chat_template
    assert words.eos_token_id == ours.generation_config.eos_token_id == tokenizer.eos_token_id
    ids = torch.tensor([tokenizer.encode(text)])
    with torch.no_grad():
        assert torch.allclose(ours(ids).logits, model(ids).logits, atol=1e-4)
    assert not hasattr(ours.config, "quantization_config")
    ours.train()(input_ids=ids, labels=ids).loss.backward()


@pytest.mark.parametrize("named", ["file", "folder"])
def test_shape_of_a_packed_model_is_that_of_its_folder(named, tmp_path):
    tokenizer = other_tokenizer()
    model = make_model("qwen2", tokenizer, seed=1)
    model.save_pretrained(tmp_path / "whole")
    (tmp_path / "packed").mkdir()
    file = write_gguf(tmp_path / "packed" / "small.gguf", model, tokenizer)
    found = local_shape(file if named == "file" else file.parent)
    assert found == folder_shape(tmp_path / "whole")
    assert found.parameters == model.num_parameters()


def test_shape_of_a_packed_model_that_is_no_decoder_says_what_is_missing(tmp_path):
    writer = gguf.GGUFWriter(str(tmp_path / "sound.gguf"), "mimi")
    writer.add_embedding_length(8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ConfigError, match=r"sound\.gguf has no 'block_count'"):
        local_shape(tmp_path / "sound.gguf")


def test_unpack_of_an_architecture_that_transformers_cannot_read_is_an_error(tmp_path):
    tokenizer = other_tokenizer()
    path = write_gguf(tmp_path / "rwkv.gguf", make_model("qwen2", tokenizer, seed=1), tokenizer, arch="rwkv7")
    with pytest.raises(ModelError, match=r"cannot unpack .*rwkv7.*take the folder"):
        unpack(path, tmp_path / "folder", "float32")
    assert not (tmp_path / "folder").exists()
