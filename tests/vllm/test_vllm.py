"""The remote teacher against a real vLLM server: `make test-vllm`."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from relayllm.engines.commands import add_command_tokens
from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.errors import TeacherError
from relayllm.relay.policy import Scripted
from relayllm.relay.protocols import CallRequest
from relayllm.relay.teacher import RemoteTeacher
from tests.support.small_models import make_model
from tests.vllm.make_model import build_tokenizer
from tests.vllm.make_model import main as write_model
from tests.vllm.servers import KEY, vllm_server

pytestmark = pytest.mark.vllm
PROMPTS = ["How many pens are there?", "Four boxes of 12 and a jar.", "x"]
SCRIPT = Scripted(script={0: [(0, 4), (6, 3)], 1: [(3, 20)], 2: [(2, 2), (2, 2), (9, 7)]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("teacher")
    write_model(path)
    return path


@pytest.fixture(scope="module")
def url(folder, tmp_path_factory) -> Iterator[str]:
    with vllm_server(folder, "big", log=tmp_path_factory.mktemp("log") / "vllm.log") as address:
        yield address


@pytest.fixture
def teacher(url) -> Iterator[OpenAITeacher]:
    remote = OpenAITeacher(url, build_tokenizer(), model="big", api_key=KEY)
    yield remote
    remote.close()


@pytest.fixture(scope="module")
def model(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).eval()


def finish(teacher: OpenAITeacher, request: CallRequest):
    stream, ids = teacher.submit(request), []
    while True:
        done = stream.done
        ids += stream.take()
        if done:
            return ids, stream
        teacher.wait(0.1)


def greedy(model, ids, n):
    import torch

    out = model.generate(torch.tensor([ids]), max_new_tokens=n, do_sample=False)
    return out[0, len(ids):].tolist()


def test_vllm_is_met_as_a_server_that_speaks_our_ids(teacher):
    known = teacher.verify()
    assert (known.model, known.uses_ids) == ("big", True)


def test_vllm_greedy_call_is_the_models_own_continuation(teacher, model):
    prompt = tuple(build_tokenizer().encode("Once there was"))
    ids, stream = finish(teacher, CallRequest(prompt, 12))
    assert stream.error is None
    assert ids == greedy(model, prompt, 12)[:len(ids)]
    assert len(ids) == 12 or stream.finished


def test_vllm_second_call_finds_the_first_in_its_cache(teacher):
    prompt = tuple(build_tokenizer().encode("a long beginning " * 12))
    ids, _ = finish(teacher, CallRequest(prompt, 4))
    _, stream = finish(teacher, CallRequest((*prompt, *ids), 4))
    assert stream.usage.prompt_tokens == len(prompt) + len(ids)
    assert stream.usage.cached_tokens > 0


def test_vllm_same_seed_same_answer_other_seed_another(teacher):
    prompt = tuple(build_tokenizer().encode("Once"))
    calls = [finish(teacher, CallRequest(prompt, 12, temperature=2.0, seed=seed)) for seed in (1, 1, 2, 3, 4)]
    assert [stream.error for _, stream in calls] == [None] * 5
    said = [tuple(ids) for ids, _ in calls]
    assert said[0] == said[1]
    assert len(set(said)) > 1


def test_vllm_prompt_beyond_its_context_is_an_error_that_says_so(teacher):
    _, stream = finish(teacher, CallRequest(tuple([65] * 600), 4))
    assert "answered 400" in str(stream.error)
    assert "512" in str(stream.error)


def test_vllm_key_and_model_are_checked(url):
    for options, fact in (({"api_key": "wrong"}, "RELAY_TEACHER_API_KEY"), ({"api_key": KEY, "model": "huge"}, "huge")):
        remote = OpenAITeacher(url, build_tokenizer(), **options)
        with pytest.raises(TeacherError, match=fact):
            remote.verify()
        remote.close()


def test_vllm_text_mode_delivers_the_same_text(url, model):
    tokenizer = build_tokenizer()
    remote = OpenAITeacher(url, tokenizer, model="big", api_key=KEY, mode="text")
    prompt = tokenizer.encode("Once there was")
    ids, stream = finish(remote, CallRequest(tuple(prompt), 6))
    whole = tokenizer.decode(greedy(model, prompt, 6)).rstrip("�")
    assert stream.error is None
    assert whole.startswith(tokenizer.decode(ids))
    remote.close()


def test_vllm_relay_answers_are_those_of_the_teacher_in_process(teacher, model):
    tokenizer = copy.deepcopy(build_tokenizer())
    student = make_model("qwen3", tokenizer, seed=1)
    add_command_tokens(student, tokenizer)
    local = RelayDecoder.from_models(student, tokenizer, model, build_tokenizer())
    remote = RelayDecoder(local.student, tokenizer, RemoteTeacher(teacher), tokenizer)
    here, there = (decoder.generate(PROMPTS, max_new_tokens=40, policy=SCRIPT) for decoder in (local, remote))
    assert [trace.token_ids for trace in there] == [trace.token_ids for trace in here]
    assert [trace.authors for trace in there] == [trace.authors for trace in here]
    assert not any(trace.degraded for trace in there)
    assert sum(len(trace.calls) for trace in there) >= 3
