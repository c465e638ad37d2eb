"""Int8 weights: near the layer they are made of, row by row, and a model of them decodes."""

from __future__ import annotations

import copy

import pytest
import torch

from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.int8 import Int8Linear, with_int8_weights
from relayllm.errors import ConfigError
from relayllm.relay.policy import Scripted
from tests.support.small_models import pair


def layer(bias: bool) -> tuple[torch.nn.Linear, Int8Linear]:
    torch.manual_seed(0)
    linear = torch.nn.Linear(96, 40, bias=bias)
    return linear, Int8Linear(linear)


@pytest.mark.parametrize("bias", [True, False])
def test_int8_layer_is_near_the_layer_it_was_made_of(bias):
    linear, rounded = layer(bias)
    x = torch.randn(3, 7, 96) * torch.tensor([0.01, 1.0, 100.0])[:, None, None]
    for given, near in zip(linear(x), rounded(x), strict=True):
        assert (given - near).norm() < 0.02 * given.norm()


def test_int8_layer_of_the_largest_weights_and_inputs_does_not_overflow():
    linear = torch.nn.Linear(96, 8, bias=False)
    torch.nn.init.ones_(linear.weight)
    assert torch.allclose(Int8Linear(linear)(torch.ones(2, 96)), torch.full((2, 8), 96.0), rtol=1e-3)


def test_int8_layer_row_does_not_depend_on_the_rows_beside_it():
    _, rounded = layer(True)
    x = torch.randn(17, 96) * torch.rand(17, 1) * 50
    together = rounded(x)
    assert all(torch.equal(rounded(x[row:row + 1])[0], together[row]) for row in range(17))


def test_int8_layer_of_zeros_is_its_bias():
    linear, rounded = layer(True)
    assert torch.equal(rounded(torch.zeros(2, 96)), linear.bias.detach().expand(2, -1))


def test_int8_models_decode_a_row_the_same_in_any_batch():
    student, tokenizer, teacher, theirs = copy.deepcopy(pair())
    decoder = RelayDecoder.from_models(with_int8_weights(student), tokenizer, with_int8_weights(teacher), theirs)
    prompts = ["There are pens", "There are 12 boxes", "The answer"]
    policy = Scripted(script={0: [(2, 3)], 1: [(4, 5)]})
    together = decoder.generate(prompts, max_new_tokens=24, policy=policy, slots=3)
    apart = decoder.generate(prompts, max_new_tokens=24, policy=policy, slots=1)
    assert [trace.token_ids for trace in together] == [trace.token_ids for trace in apart]
    assert together[0].calls[0].delivered == 3


def test_int8_weights_are_read_from_a_folder(tmp_path):
    student, tokenizer, _, _ = pair()
    student.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    decoder = RelayDecoder.from_pretrained(tmp_path, dtype="int8")
    assert isinstance(decoder.student.model.get_output_embeddings(), Int8Linear)
    assert decoder.generate(["There are pens"], max_new_tokens=8)[0].token_ids
    with pytest.raises(ConfigError, match="int8"):
        RelayDecoder.from_pretrained(tmp_path, dtype="int8", device="cuda")
