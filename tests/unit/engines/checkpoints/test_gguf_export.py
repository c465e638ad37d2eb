"""A model written as GGUF is the same model when it is read again: weights, tokenizer, commands, ends."""

from __future__ import annotations

import copy

import pytest
import torch

from relayllm.engines.checkpoints.gguf import read_header, read_tokenizer, unpack
from relayllm.engines.checkpoints.gguf_export import check_exportable, export
from relayllm.engines.commands import command_tokens
from relayllm.engines.loading import load_model
from relayllm.errors import ConfigError, ModelError
from tests.support.small_models import base_tokenizer, make_model, pair

pytest.importorskip("gguf")

TEXTS = ["There are 128 pens in 3 boxes.", "  née 名前\n\n<|im_start|>user", "<call>12</call> x<call>", "a\tb  c  "]


@pytest.fixture
def folder(tmp_path):
    """A trained student's folder, of one architecture after another."""
    def save(kind):
        student, tokenizer, _, _ = pair(kind)
        student.save_pretrained(tmp_path / kind)
        tokenizer.save_pretrained(tmp_path / kind)
        return tmp_path / kind

    return save


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
def test_a_model_that_is_exported_and_unpacked_computes_the_same(folder, tmp_path, kind):
    student, tokenizer, _, _ = pair(kind)
    export(folder(kind), tmp_path / "student.gguf")
    unpack(tmp_path / "student.gguf", tmp_path / "again", "float32")
    again = load_model(tmp_path / "again", device="cpu")
    ids = torch.tensor([tokenizer.encode(TEXTS[0])])
    with torch.no_grad():
        assert torch.allclose(again(ids).logits, student(ids).logits, atol=1e-5)


def test_its_tokenizer_is_the_students_to_the_last_token(folder, tmp_path):
    tokenizer = pair()[1]
    export(folder("qwen3"), tmp_path / "student.gguf")
    found = read_tokenizer(tmp_path / "student.gguf")
    assert [found.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]
    assert command_tokens(found) == command_tokens(tokenizer)
    assert (found.eos_token_id, found.pad_token_id, len(found)) == (tokenizer.eos_token_id, tokenizer.pad_token_id,
                                                                    len(tokenizer))
    chat = [{"role": "user", "content": "How many?"}]
    assert found.apply_chat_template(chat, tokenize=False) == tokenizer.apply_chat_template(chat, tokenize=False)


def test_the_header_names_every_end_of_text_and_the_types(folder, tmp_path):
    place = folder("qwen3")
    model = load_model(place, device="cpu")
    model.generation_config.eos_token_id = [2, 0]
    model.save_pretrained(place)
    export(place, tmp_path / "student.gguf", "F16")
    header = read_header(tmp_path / "student.gguf")
    assert header.ends == {0, 2}
    assert header.matrix_types == {"F16"}


@pytest.mark.parametrize(("kind", "error"), [("F16", 1e-3), ("BF16", 8e-3)])
def test_shorter_floats_round_the_matrices_and_nothing_else(folder, tmp_path, kind, error):
    student = pair()[0]
    export(folder("qwen3"), tmp_path / "student.gguf", kind)
    unpack(tmp_path / "student.gguf", tmp_path / "again", "float32")
    again = load_model(tmp_path / "again", device="cpu").state_dict()
    for name, weight in student.state_dict().items():
        difference = (again[name] - weight).abs().max() / weight.abs().max()
        assert difference <= (error if weight.ndim > 1 else 0), name


def test_rows_that_pad_the_embedding_are_named_and_unused(tmp_path):
    import gguf

    tokenizer = copy.deepcopy(base_tokenizer())
    model = make_model("qwen2", tokenizer, seed=1)
    model.resize_token_embeddings(len(tokenizer) + 5)
    model.save_pretrained(tmp_path / "folder")
    tokenizer.save_pretrained(tmp_path / "folder")
    export(tmp_path / "folder", tmp_path / "student.gguf")
    fields = gguf.GGUFReader(tmp_path / "student.gguf").fields
    assert fields["tokenizer.ggml.token_type"].contents()[-5:] == [5] * 5
    assert fields["tokenizer.ggml.tokens"].contents()[-1] == f"[PAD{len(tokenizer) + 4}]"


def test_what_cannot_be_written_is_refused_by_name(folder, tmp_path):
    place = folder("qwen3")
    model, tokenizer = load_model(place, device="cpu"), pair()[1]
    other = copy.deepcopy(model.config)
    other.architectures = ["GptOssForCausalLM"]
    with pytest.raises(ModelError, match=r"GptOssForCausalLM.*convert_hf_to_gguf"):
        check_exportable(other, tokenizer, place)
    scaled = copy.deepcopy(model.config)
    scaled.rope_parameters = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0}
    with pytest.raises(ModelError, match="scales its positions \\(yarn\\)"):
        check_exportable(scaled, tokenizer, place)
    with pytest.raises(ConfigError, match=r"no type 'Q4_K_M': without llama\.cpp there are F32, F16, BF16"):
        export(place, tmp_path / "student.gguf", "Q4_K_M")
    assert not (tmp_path / "student.gguf").exists()


def test_a_sentencepiece_tokenizer_is_refused(folder):
    from tests.support.real_models import real_tokenizer

    place = folder("llama")
    with pytest.raises(ModelError, match="only byte-level BPE is exported"):
        check_exportable(load_model(place, device="cpu").config, real_tokenizer("mistral"), place)


@pytest.mark.parametrize("content", [b"GGUF", b"nothing of the kind", None])
def test_a_damaged_file_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "student.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"student\.gguf"):
        read_tokenizer(path)
