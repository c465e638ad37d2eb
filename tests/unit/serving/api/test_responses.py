"""Chunks of a stream: as few and as short as what they bring."""

from __future__ import annotations

from types import SimpleNamespace

import orjson
import pytest

from relayllm.relay.trace import Author
from relayllm.relay.vocabulary import plain_ids
from relayllm.serving.api.jobs import Job
from relayllm.serving.api.protocol import ChatRequest
from relayllm.serving.api.responses import ChunkWriter
from relayllm.serving.engine.requests import TokenDelta
from tests.support.fakes_serving import scripted_decoder, tokenizers


@pytest.fixture
def writer():
    student, _ = tokenizers()
    reader = SimpleNamespace(tokenizer=student, commands=scripted_decoder().commands)
    deployment = SimpleNamespace(name="model", version="1", alias="champion", response_tokenizer=reader)
    body = ChatRequest.model_validate({"messages": [{"role": "user", "content": "x"}], "stream": True})
    return ChunkWriter(Job(deployment, []), body)


def delta(text, *authors):
    student, _ = tokenizers()
    ids = plain_ids(student, text)
    each = -(-len(ids) // len(authors))
    return TokenDelta(ids, [authors[place // each] for place in range(len(ids))], [-0.5] * len(ids), ())


def test_chunks_of_one_author_are_one_however_many_tokens(writer):
    [chunk] = writer.tokens(0, delta("word " * 200, Author.STUDENT))
    event = orjson.loads(chunk.removeprefix(b"data: "))
    assert event["choices"][0]["delta"]["content"] == "word " * 200
    assert event["relay"]["author"] == "student"


def test_chunks_cost_no_more_bytes_for_more_tokens_than_their_text(writer):
    few = b"".join(writer.tokens(0, delta("word " * 10, Author.STUDENT)))
    many = b"".join(writer.tokens(0, delta("word " * 210, Author.STUDENT)))
    assert len(many) - len(few) <= len("word " * 200) + 2  # the number of tokens has more digits


def test_chunks_change_with_the_author(writer):
    chunks = list(writer.tokens(0, delta("word " * 9, Author.STUDENT, Author.TEACHER, Author.STUDENT)))
    assert [orjson.loads(chunk.removeprefix(b"data: "))["relay"]["author"] for chunk in chunks] == [
        "student", "teacher", "student"]
