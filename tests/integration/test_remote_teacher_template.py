"""A remote teacher with another tokenizer reads its own chat template: by its tokenizer here, or in messages."""

from __future__ import annotations

import copy
import json
import logging

import pytest

from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.engines.prompts import encode_prompt
from relayllm.engines.teacher_only import RemoteGenerator
from relayllm.errors import ConfigError
from relayllm.relay.policy import Scripted
from relayllm.relay.teacher import RemoteTeacher
from relayllm.relay.trace import Author
from tests.support.fake_teacher import FakeTeacher, Fault
from tests.support.fakes_serving import ScriptedEngine, tokenizers
from tests.support.small_models import make_model, other_tokenizer

QUICK = RemoteOptions(attempts=4, backoff_seconds=0.01)
SCRIPT = ("There are 3 boxes", 3, " with pens. So ", 2, ".")
QUESTION = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "How many?"}]


@pytest.fixture(scope="module")
def theirs():
    """The server's tokenizer, whose template is not the student's."""
    tokenizer = copy.deepcopy(other_tokenizer())
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>[{{ message.role }}] {{ message.content | trim }}<|im_end|>"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>[assistant] {% endif %}")
    return tokenizer


@pytest.fixture
def serve(theirs):
    """A server that speaks as one says, and what it was given to read."""
    servers: list[FakeTeacher] = []
    read: list[str] = []

    def write(ids):
        read.append(theirs.decode(ids))
        return theirs.encode(" 4" * 40, add_special_tokens=False)

    def start(speaks: str) -> tuple[FakeTeacher, list[str]]:
        servers.append(FakeTeacher(theirs, write, speaks=speaks).__enter__())
        return servers[-1], read

    yield start
    for server in servers:
        server.__exit__()


def decoder_at(url: str, **options) -> RelayDecoder:
    student = tokenizers()[0]
    remote = OpenAITeacher(url, student, options=QUICK, **options)
    return RelayDecoder(ScriptedEngine(student, SCRIPT), student, RemoteTeacher(remote), student)


def rendered(tokenizer, answer: str) -> str:
    return tokenizer.apply_chat_template(QUESTION, tokenize=False, add_generation_prompt=True) + answer


def test_messages_are_continued_under_the_servers_own_template(serve, theirs):
    server, read = serve("messages")
    decoder = decoder_at(server.url)
    trace = decoder.generate([QUESTION], max_new_tokens=60)[0]
    decoder.teacher.close()
    assert not trace.degraded
    assert [text.rstrip() for text in read] == [rendered(theirs, "There are 3 boxes"),
                                                rendered(theirs, trace.text[:trace.text.index(" So") + 3])]
    assert all(chat["messages"][:2] == QUESTION and chat["continue_final_message"] for chat in server.chats)
    assert [chat["max_tokens"] for chat in server.chats] == [3, 2]
    assert trace.text.startswith("There are 3 boxes 4")
    assert Author.TEACHER in trace.authors


def test_messages_first_call_before_any_answer_opens_the_turn(serve, theirs):
    server, read = serve("messages")
    student = tokenizers()[0]
    remote = OpenAITeacher(server.url, student, options=QUICK)
    RelayDecoder(ScriptedEngine(student, (2, " pens.")), student, RemoteTeacher(remote), student).generate(
        [QUESTION], max_new_tokens=40)
    remote.close()
    assert read == [rendered(theirs, "")]
    assert "continue_final_message" not in server.chats[0]


def test_messages_are_what_a_teacher_alone_is_asked_with(serve, theirs):
    server, read = serve("messages")
    alone = RemoteGenerator(server.url, tokenizers()[0], options=QUICK)
    [trace] = alone.generate([QUESTION], max_new_tokens=5, enable_thinking=False)
    alone.close()
    assert read == [rendered(theirs, "")]
    assert server.chats[0]["messages"] == QUESTION
    assert server.chats[0]["chat_template_kwargs"] == {"enable_thinking": False}
    assert trace.text.startswith(" 4")


def test_messages_cut_answer_is_asked_for_again_whole(serve):
    server, _ = serve("messages")
    decoder = decoder_at(server.url)
    well = decoder.generate([QUESTION], max_new_tokens=60)[0]
    server.faults += [Fault.cut(after=1), Fault.refuse(503)]
    hurt = decoder.generate([QUESTION], max_new_tokens=60)[0]
    decoder.teacher.close()
    assert hurt.token_ids == well.token_ids
    assert not hurt.degraded


def test_messages_thinking_mode_is_told(serve):
    server, _ = serve("messages")
    decoder = decoder_at(server.url)
    decoder.generate([QUESTION], max_new_tokens=60, enable_thinking=False)
    decoder.teacher.close()
    assert server.chats[0]["chat_template_kwargs"] == {"enable_thinking": False}


@pytest.mark.parametrize("speaks", ["chats", "text"])
def test_server_that_continues_no_message_is_sent_raw_text_and_one_warning(serve, caplog, speaks):
    server, read = serve(speaks)
    decoder = decoder_at(server.url)
    with caplog.at_level(logging.WARNING, logger="relayllm.engines.openai"):
        traces = decoder.generate([QUESTION] * 3, max_new_tokens=60)
    info = decoder.teacher.server.verify()
    decoder.teacher.close()
    assert info.wire_format == "text"
    assert sum("RELAY_TEACHER_TOKENIZER" in record.message for record in caplog.records) == 1
    assert not any(trace.degraded for trace in traces)
    assert read[0].startswith(tokenizers()[0].apply_chat_template(QUESTION, tokenize=False)[:20])


def test_mode_messages_is_taken_at_its_word(serve):
    server, read = serve("messages")
    decoder = decoder_at(server.url, mode="messages")
    assert decoder.teacher.server.verify().wire_format == "messages"
    decoder.teacher.close()
    assert read == []


def test_unknown_mode_is_an_error():
    with pytest.raises(ConfigError, match="messages"):
        OpenAITeacher("http://127.0.0.1:9", tokenizers()[0], mode="letters")


def test_named_tokenizer_gives_the_teachers_template_and_ids(serve, theirs, tmp_path, monkeypatch):
    theirs.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3"}))
    monkeypatch.setenv("RELAY_TEACHER_TOKENIZER", str(tmp_path))
    server, read = serve("ids")
    ours = copy.deepcopy(tokenizers()[0])
    student = make_model("qwen3", ours, seed=1)
    decoder = RelayDecoder.from_models(student, ours, server.url)
    assert not decoder.shares_vocabulary
    trace = decoder.generate([QUESTION], max_new_tokens=30, policy=Scripted(script={0: [(0, 5)]}))[0]
    assert decoder.teacher.server.verify().wire_format == "ids"
    decoder.teacher.close()
    assert server.asked[0]["prompt"] == encode_prompt(theirs, QUESTION)
    assert read[0] == rendered(theirs, "")
    assert not trace.degraded
    assert " 4 4" in trace.text
