"""A real vLLM server of SmolLM2 as the teacher of a student with another tokenizer: `make test-vllm`."""

from __future__ import annotations

import pytest
import torch

from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.engines.prompts import encode_prompt
from relayllm.relay.teacher import RemoteTeacher
from relayllm.relay.trace import Author
from tests.support.fakes_serving import ScriptedEngine, tokenizers
from tests.support.real_models import smollm2, smollm2_folder
from tests.vllm.servers import KEY, vllm_server

pytestmark = pytest.mark.vllm
QUESTION = [{"role": "user", "content": "What is the capital of France? One sentence."}]
SCRIPT = ("The capital", 4, " and the largest city, I am sure. It lies at the river", 5, ".")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with vllm_server(smollm2_folder(), "smollm2", log=tmp_path_factory.mktemp("log") / "vllm.log") as address:
        yield address


@pytest.fixture
def decoder(url):
    student = tokenizers()[0]
    remote = OpenAITeacher(url, student, api_key=KEY)
    yield RelayDecoder(ScriptedEngine(student, SCRIPT), student, RemoteTeacher(remote), student)
    remote.close()


def continued(answer: str, n: int) -> str:
    """What transformers writes on in an open last message."""
    model, tokenizer = smollm2()
    ids = torch.tensor([encode_prompt(tokenizer, [*QUESTION, {"role": "assistant", "content": answer}],
                                      continue_final=True)])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, do_sample=False)
    return tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)


def test_vllm_with_another_tokenizer_continues_messages(decoder):
    assert decoder.teacher.server.verify().wire_format == "messages"


def test_vllm_teacher_writes_on_as_transformers_does_under_its_own_template(decoder):
    trace = decoder.generate([QUESTION], max_new_tokens=200)[0]
    parts = [trace.text[part.text_start:part.text_stop] for part in trace.segments if part.author is Author.TEACHER]
    first, second = (part for part in trace.segments if part.author is Author.TEACHER)
    assert not trace.degraded
    assert parts == [continued(trace.text[:first.text_start], 4), continued(trace.text[:second.text_start], 5)]
    assert "Paris" in parts[0]
