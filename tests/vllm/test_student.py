"""A relay between two real vLLM servers: the student's with the grammar, the teacher's without. `make test-vllm`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch

from relayllm import RelayDecoder
from relayllm.engines.commands import add_command_tokens
from relayllm.engines.loading import load_model, load_tokenizer
from relayllm.engines.openai.student import OpenAIStudent
from relayllm.errors import StudentError
from relayllm.relay.command import parse
from relayllm.relay.policy import Scripted
from tests.vllm.make_model import build_tokenizer
from tests.vllm.make_model import main as write_model
from tests.vllm.servers import KEY, STUDENT_FLAGS, vllm_server

pytestmark = pytest.mark.vllm
PROMPTS = [f"How many pens are there in {boxes} boxes of {each}?" for boxes in (3, 12, 40) for each in (4, 9)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """student/ with commands, and teacher/ of the same tokenizer."""
    from transformers import AutoModelForCausalLM

    path = tmp_path_factory.mktemp("pair")
    write_model(path / "teacher")
    student, tokenizer = AutoModelForCausalLM.from_pretrained(path / "teacher"), build_tokenizer()
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in student.parameters():
            weight.add_(torch.randn_like(weight) * 0.02)
    add_command_tokens(student, tokenizer)
    student.save_pretrained(path / "student")
    tokenizer.save_pretrained(path / "student")
    return path


@pytest.fixture(scope="module")
def urls(folders, tmp_path_factory) -> Iterator[dict[str, str]]:
    log = tmp_path_factory.mktemp("logs")
    with (vllm_server(folders / "student", "student", *STUDENT_FLAGS, log=log / "student") as student,
          vllm_server(folders / "teacher", "teacher", log=log / "teacher") as teacher):
        yield {"student": student, "teacher": teacher}


@pytest.fixture(scope="module")
def local(folders):
    student, teacher = folders / "student", folders / "teacher"
    return RelayDecoder.from_models(
        load_model(student, dtype="float32", device="cpu"), load_tokenizer(student),
        load_model(teacher, dtype="float32", device="cpu"), load_tokenizer(teacher))


@pytest.fixture
def remote(folders, urls, monkeypatch) -> Iterator[RelayDecoder]:
    monkeypatch.setenv("RELAY_STUDENT_API_KEY", KEY)
    monkeypatch.setenv("RELAY_TEACHER_API_KEY", KEY)
    decoder = RelayDecoder.from_servers([urls["student"]], folders / "student", urls["teacher"])
    yield decoder
    decoder.student.shut_down()
    decoder.teacher.close()


@pytest.mark.parametrize("bias", [0.0, 20.0, 45.0])
def test_vllm_greedy_answers_are_those_of_the_decoder_in_process(local, remote, bias):
    options = {"max_new_tokens": 48, "max_calls": 3, "max_call_tokens": 20, "call_bias": bias}
    here, there = (decoder.generate(PROMPTS, **options) for decoder in (local, remote))
    assert [trace.token_ids for trace in there] == [trace.token_ids for trace in here]
    assert [trace.authors for trace in there] == [trace.authors for trace in here]
    assert bias < 40 or sum(len(trace.calls) for trace in here) > len(PROMPTS)
    for one, other in zip(there, here, strict=True):
        pairs = [(a, b) for a, b in zip(one.logprobs, other.logprobs, strict=True) if a is not None and b is not None]
        assert [a for a, _ in pairs] == pytest.approx([b for _, b in pairs], abs=1e-3)


def test_vllm_scripted_calls_are_those_of_the_decoder_in_process(local, remote):
    script = Scripted(script={0: [(0, 4), (6, 3)], 1: [(3, 20)], 2: [(2, 2), (2, 2), (9, 7)]})
    options = {"max_new_tokens": 40, "max_calls": 3, "policy": script}
    here, there = (decoder.generate(PROMPTS, **options) for decoder in (local, remote))
    assert [trace.token_ids for trace in there] == [trace.token_ids for trace in here]


def test_vllm_sampled_commands_are_well_formed_and_answers_repeat(remote):
    options = {"max_new_tokens": 40, "temperature": 1.0, "teacher_temperature": 0.7, "call_bias": 30.0, "seed": 7}
    first, again = (remote.generate(PROMPTS, **options) for _ in range(2))
    assert [trace.token_ids for trace in first] == [trace.token_ids for trace in again]
    assert all(parse(trace.token_ids, remote.commands) == [call.requested for call in trace.calls] for trace in first)
    assert sum(len(trace.calls) for trace in first) > 3


def test_vllm_segment_after_a_call_reads_little_again(remote):
    [trace] = remote.generate([" ".join(PROMPTS)], max_new_tokens=40, max_calls=3, max_call_tokens=5, call_bias=45.0)
    segments = len(trace.calls) + 1
    assert len(trace.calls) >= 2
    assert trace.ledger.student_reread - len(trace.prompt_ids) <= (segments - 1) * (32 + 10)


def test_vllm_handshake_knows_the_cache_and_the_logprobs(remote):
    [info] = remote.student.verify()
    assert (info.model, info.processed_logprobs, info.context_length) == ("student", True, 512)
    assert info.cached_tokens > 0


def test_vllm_server_without_commands_is_left_as_it_is_and_refused(folders, urls, monkeypatch):
    monkeypatch.setenv("RELAY_STUDENT_API_KEY", KEY)
    student = OpenAIStudent([urls["teacher"]], load_tokenizer(folders / "student"))
    with pytest.raises(StudentError, match="another vocabulary"):
        student.verify()
    student.shut_down()


def test_vllm_wrong_arguments_are_a_400_that_names_them(urls):
    body = {"model": "student", "prompt": [5, 6], "max_tokens": 4, "vllm_xargs": {"calls_left": 1}}
    answer = httpx.post(f"{urls['student']}/v1/completions", json=body, headers={"authorization": f"Bearer {KEY}"})
    assert answer.status_code == 400
    assert "remaining" in answer.text


def test_vllm_many_answers_at_once_are_those_alone(remote):
    options = {"max_new_tokens": 24, "max_calls": 2, "call_bias": 45.0, "max_call_tokens": 9}
    together = remote.generate(PROMPTS * 4, slots=24, **options)
    alone = remote.generate(PROMPTS, slots=1, **options)
    assert [trace.token_ids for trace in together[:len(PROMPTS)]] == [trace.token_ids for trace in alone]
