"""Roll-outs before a real vLLM server that reads the weights in training. `make test-vllm`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from relayllm import RelayDecoder
from relayllm.config import load_params
from relayllm.engines.commands import add_command_tokens
from relayllm.engines.loading import load_model, load_tokenizer
from relayllm.engines.openai.weights import ServedWeights
from relayllm.errors import StudentError
from relayllm.training.lora import ready_to_decode
from relayllm.training.served import ServedDecoders
from tests.support.adapters import adapted
from tests.vllm.make_model import build_tokenizer
from tests.vllm.make_model import main as write_model
from tests.vllm.servers import KEY, STUDENT_FLAGS, TRAINED_FLAGS, vllm_server

pytestmark = pytest.mark.vllm
PROMPTS = [f"How many pens are there in {boxes} boxes of {each}? " * 8 for boxes in (3, 12) for each in (4, 9)]
GRPO = load_params(Path("params/smoke.yaml")).grpo
ALONE = GRPO.runs["relay-difficulty"].model_copy(update={"max_calls": 0})
"""Calls change nothing about weights."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A student with commands."""
    from transformers import AutoModelForCausalLM

    path = tmp_path_factory.mktemp("student")
    write_model(path)
    student, tokenizer = AutoModelForCausalLM.from_pretrained(path), build_tokenizer()
    add_command_tokens(student, tokenizer)
    student.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def url(folder, tmp_path_factory) -> Iterator[str]:
    with vllm_server(folder, "student", *TRAINED_FLAGS, log=tmp_path_factory.mktemp("logs") / "student",
                     VLLM_SERVER_DEV_MODE="1") as address:
        yield address


def decoders(url: str, folder: Path, run: Path) -> ServedDecoders:
    return ServedDecoders([url], load_tokenizer(folder), folder, folder, ALONE, run)


def change(model: torch.nn.Module, seed: int) -> None:
    """A step of training that is large enough for other answers."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.1)


def test_vllm_writes_with_the_weights_in_training_after_every_change(folder, url, tmp_path, monkeypatch):
    monkeypatch.setenv("RELAY_STUDENT_API_KEY", KEY)
    served = decoders(url, folder, tmp_path)
    model, tokenizer = load_model(folder, dtype="float32", device="cpu"), load_tokenizer(folder)
    options, seen = {"max_new_tokens": 24, "max_calls": 0}, []
    for seed in (1, 2):
        change(model, seed)
        here = RelayDecoder.from_models(model, tokenizer).generate(PROMPTS, **options)
        with served.of(model) as decoder:
            there = decoder.generate(PROMPTS, **options)
        assert [trace.token_ids for trace in there] == [trace.token_ids for trace in here]
        for one, other in zip(there, here, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)
        seen.append([trace.token_ids for trace in here])
    assert seen[0] != seen[1]
    served.close()


def test_vllm_writes_with_an_adapter_in_training(folder, url, tmp_path, monkeypatch):
    monkeypatch.setenv("RELAY_STUDENT_API_KEY", KEY)
    served = decoders(url, folder, tmp_path)
    network, tokenizer = load_model(folder, dtype="float32", device="cpu"), load_tokenizer(folder)
    change(network, seed=1)
    options = {"max_new_tokens": 24, "max_calls": 0}
    bare = RelayDecoder.from_models(network, tokenizer).generate(PROMPTS, **options)
    model = adapted(network, tokenizer)
    change(model, seed=1)
    with ready_to_decode(model) as inner:
        here = RelayDecoder.from_models(inner, tokenizer).generate(PROMPTS, **options)
    with served.of(model) as decoder:
        there = decoder.generate(PROMPTS, **options)
    assert [trace.token_ids for trace in there] == [trace.token_ids for trace in here]
    assert [trace.token_ids for trace in here] != [trace.token_ids for trace in bare]
    for one, other in zip(there, here, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)
    served.close()


def test_vllm_that_cannot_read_the_weights_says_so_and_lives(folder, url, tmp_path, monkeypatch):
    monkeypatch.setenv("RELAY_STUDENT_API_KEY", KEY)
    served = decoders(url, folder, tmp_path)
    with pytest.raises(StudentError, match=r"answered /collective_rpc with 500: .*same folders"):
        ServedWeights([url]).load(tmp_path / "nothing", "1")
    with served.of(load_model(folder, dtype="float32", device="cpu")) as decoder:
        assert decoder.generate(PROMPTS[:1], max_new_tokens=4)[0].token_ids
    served.close()


@pytest.mark.parametrize("development", ["0", "1"])
def test_vllm_without_routes_or_reader_takes_no_weights(folder, tmp_path, monkeypatch, development):
    monkeypatch.setenv("RELAY_STUDENT_API_KEY", KEY)
    with vllm_server(folder, "student", *STUDENT_FLAGS, log=tmp_path / "log",
                     VLLM_SERVER_DEV_MODE=development) as address:
        with pytest.raises(StudentError, match=r"VLLM_SERVER_DEV_MODE=1 .*WeightReader"):
            decoders(address, folder, tmp_path)
