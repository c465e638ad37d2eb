"""LoRA over models of random weights: what is trained, what is merged, what is decoded with."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from relayllm import RelayDecoder
from relayllm.engines.checkpoints.weights import weights_digest, weights_of
from relayllm.engines.commands import add_command_tokens, command_tokens
from relayllm.engines.loading import load_model, load_tokenizer
from relayllm.errors import ConfigError, ModelError
from relayllm.training.lora import (
    BASE_FILE,
    FOLDER,
    adapter_config,
    merged_weights,
    ready_to_decode,
    rounded,
    write_merged,
)
from tests.support.adapters import LORA, adapted, saved, student
from tests.support.small_models import base_tokenizer, make_model

KINDS = ("qwen3", "llama")
"""The first with tied embeddings, the second with a head of its own."""
IDS = torch.tensor([[5, 9, 14, 20, 7, 30, 2, 11]])


@pytest.mark.parametrize("kind", KINDS)
def test_write_merged_gives_the_log_probabilities_of_base_and_adapter(kind, tmp_path):
    base, adapter, wrapped = saved(kind, tmp_path)
    kept = write_merged(base, adapter, "float32", tmp_path / "merged")
    merged = load_model(tmp_path / "merged", device="cpu")
    ids = torch.cat([IDS, torch.tensor([command_tokens(load_tokenizer(base)).columns])], dim=1)
    with torch.no_grad():
        ours, theirs, plain = (model(ids).logits.log_softmax(-1) for model in (merged, wrapped, load_model(base)))
    assert kept == pytest.approx(1.0)
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert (ours - plain).abs().max() > 0.1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_merged_weights_are_those_of_write_merged_and_leave_the_model_as_it_is(kind, dtype, tmp_path):
    base, adapter, _ = saved(kind, tmp_path)
    write_merged(base, adapter, dtype, tmp_path / "merged")
    wrapped = PeftModel.from_pretrained(load_model(base, dtype=dtype, device="cpu"), str(adapter))
    before = copy.deepcopy(wrapped.state_dict())
    found = merged_weights(wrapped)
    assert all(torch.equal(weight, before[name]) for name, weight in wrapped.state_dict().items())
    written = load_file(tmp_path / "merged/model.safetensors")
    assert found.keys() == written.keys()
    near = {"float32": 1e-6, "bfloat16": 2**-6}[dtype]  # the base is rounded first here, and both sums by chance
    for name, weight in written.items():
        assert found[name].dtype == weight.dtype
        assert torch.allclose(found[name].float(), weight.float(), rtol=near, atol=near / 8), name


@pytest.mark.parametrize("kind", KINDS)
def test_adapter_trains_the_two_command_rows_of_embedding_and_head_and_no_other(kind):
    network, tokenizer = student(kind)
    commands = command_tokens(tokenizer)
    before = {name: table.weight.detach().clone() for name, table in
              (("embedding", network.get_input_embeddings()), ("head", network.get_output_embeddings()))}
    wrapped = adapted(network, tokenizer)
    ids = torch.tensor([[5, commands.call, 9, commands.end, 7, 30, 2, 11]])
    wrapped(input_ids=ids, labels=ids).loss.backward()
    trained = {name for name, weight in wrapped.named_parameters() if weight.requires_grad}
    assert {name.rpartition(".lora_")[1] or "rows" for name in trained} == {".lora_", "rows"}
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0
               for name, weight in wrapped.named_parameters() if "trainable_tokens" in name)
    merged = wrapped.merge_and_unload()
    for name, table in (("embedding", merged.get_input_embeddings()), ("head", merged.get_output_embeddings())):
        changed = (table.weight != before[name]).any(dim=1).nonzero().flatten().tolist()
        assert changed == [commands.call, commands.end], name


def test_adapter_off_is_the_base_bit_for_bit():
    network, tokenizer = student()
    with torch.no_grad():
        plain = network(IDS).logits
        wrapped = adapted(network, tokenizer)
        assert not torch.equal(wrapped(IDS).logits, plain)
        with wrapped.disable_adapter():
            assert torch.equal(wrapped(IDS).logits, plain)


@pytest.mark.parametrize("kind", KINDS)
def test_decoder_over_a_model_in_training_writes_what_the_merged_model_writes(kind, tmp_path):
    base, adapter, wrapped = saved(kind, tmp_path)
    write_merged(base, adapter, "float32", tmp_path / "merged")
    tokenizer = load_tokenizer(base)
    teacher = make_model(kind, base_tokenizer(), seed=2)
    options = {"max_new_tokens": 24, "temperature": 0.0, "max_calls": 3, "max_call_tokens": 9}
    prompts = ["How many pens are in 3 boxes?", "What is 4 times 5?"]

    def answers(model):
        return [trace.token_ids for trace in RelayDecoder.from_models(model, tokenizer, teacher, base_tokenizer())
                .generate(prompts, **options)]

    state = {name: weight.clone() for name, weight in wrapped.state_dict().items()}
    wrapped.train()
    with ready_to_decode(wrapped) as network:
        ours = answers(network)
    assert ours == answers(load_model(tmp_path / "merged"))
    assert ours != answers(load_model(base))
    assert wrapped.training
    assert all(torch.equal(weight, state[name]) for name, weight in wrapped.state_dict().items())


def test_saved_adapter_holds_no_table_when_the_vocabulary_grew(tmp_path):
    bare = make_model("qwen3", base_tokenizer(), seed=1)
    bare.save_pretrained(tmp_path / "base")
    base_tokenizer().save_pretrained(tmp_path / "base")
    network, tokenizer = load_model(tmp_path / "base"), copy.deepcopy(base_tokenizer())
    add_command_tokens(network, tokenizer)
    adapted(network, tokenizer).save_pretrained(tmp_path / "adapter")
    assert max(tensor.shape[0] for tensor in weights_of(tmp_path / "adapter").values()) < len(tokenizer) / 2
    write_merged(tmp_path / "base", tmp_path / "adapter", "float32", tmp_path / "merged")
    assert load_model(tmp_path / "merged").get_input_embeddings().weight.shape[0] == len(tokenizer)


def test_padded_vocabulary_never_shrinks(tmp_path):
    """Qwen has 151,936 rows for fewer tokens; the command tokens take two of the spare ones."""
    tokenizer = copy.deepcopy(base_tokenizer())
    network = make_model("llama", tokenizer, seed=1)
    rows = len(tokenizer) + 50
    network.resize_token_embeddings(rows)
    network.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    commands = add_command_tokens(network, tokenizer)
    assert commands.call == rows - 50
    adapted(network, tokenizer).save_pretrained(tmp_path / "adapter")
    write_merged(tmp_path / "base", tmp_path / "adapter", "float32", tmp_path / "merged")
    shapes = {tensor.shape[0] for name, tensor in weights_of(tmp_path / "merged").items()
              if "embed" in name or "lm_head" in name}
    assert shapes == {rows}
    assert load_model(tmp_path / "merged").config.vocab_size == rows


def test_write_merged_lays_the_adapter_beside_it_and_names_its_base(tmp_path):
    base, adapter, _ = saved("qwen3", tmp_path)
    write_merged(base, adapter, "float32", tmp_path / "merged")
    beside = tmp_path / "merged" / FOLDER
    assert json.loads((beside / BASE_FILE).read_text())["weights"] == weights_digest(base)
    assert json.loads((beside / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    again = PeftModel.from_pretrained(load_model(base), str(beside)).eval()
    with torch.no_grad():
        assert torch.allclose(again(IDS).logits, load_model(tmp_path / "merged")(IDS).logits, atol=1e-4)


def test_write_merged_of_an_adapter_of_another_base_is_refused(tmp_path):
    _, adapter, _ = saved("qwen3", tmp_path)
    tokenizer = copy.deepcopy(base_tokenizer())
    wider = make_model("qwen3", tokenizer, seed=1, width=48)
    wider.save_pretrained(tmp_path / "wider")
    tokenizer.save_pretrained(tmp_path / "wider")
    with pytest.raises(ModelError, match="does not fit Qwen3ForCausalLM"):
        write_merged(tmp_path / "wider", adapter, "float32", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(("targets", "said"), [
    (["q_proj", "qkv"], "qkv.*q_proj"), (["lm_head"], "lm_head"), (["embed_tokens"], "embed_tokens"), ([], "nothing")])
def test_adapter_config_names_the_layers_there_are(targets, said):
    network, tokenizer = student("llama")
    with pytest.raises(ConfigError, match=said):
        adapter_config(LORA.model_copy(update={"target_modules": targets}), network, command_tokens(tokenizer))


def test_adapter_without_command_rows_has_low_rank_matrices_alone(tmp_path):
    _, adapter, _ = saved("llama", tmp_path, LORA.model_copy(update={"command_rows": False}))
    assert {name.rpartition(".lora_")[1] for name in weights_of(adapter)} == {".lora_"}


def test_rounded_to_bfloat16_keeps_small_changes_on_average_and_what_lies_on_the_grid():
    generator = torch.Generator().manual_seed(1)
    grid = torch.randn(400, 500).to(torch.bfloat16).float()
    assert torch.equal(rounded(grid, torch.bfloat16, generator).float(), grid)
    change = 1e-2 * grid.abs() / 128  # a hundredth of the grid's step, or half that
    assert torch.equal((grid + change).to(torch.bfloat16).float(), grid)
    ours = rounded(grid + change, torch.bfloat16, generator).float() - grid
    assert float(ours.mean() / change.mean()) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_write_merged_in_bfloat16_keeps_the_change(kind, tmp_path):
    base, adapter, _ = saved(kind, tmp_path)
    kept = write_merged(base, adapter, "bfloat16", tmp_path / "merged")
    assert kept == pytest.approx(1.0, abs=0.1)
    assert {tensor.dtype for tensor in weights_of(tmp_path / "merged").values()} == {"BF16"}
