"""Log-probabilities through the openai client: the likeliest tokens, whole and streamed; numbers for every token."""

from __future__ import annotations

import httpx
import openai
import pytest

from relayllm import RelayDecoder
from tests.support.fakes_serving import serving
from tests.support.small_models import pair


@pytest.fixture(scope="module")
def client():
    with serving(RelayDecoder.from_models(*pair())) as server:
        yield openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0,
                            http_client=httpx.Client(trust_env=False))


def test_openai_client_gets_the_likeliest_tokens_whole_and_streamed(client):
    asked = {"model": "relay-decoder", "messages": [{"role": "user", "content": "How many pens?"}], "max_tokens": 40,
             "seed": 4, "temperature": 1.0, "logprobs": True, "top_logprobs": 20,
             "extra_body": {"relay": {"call_bias": 15.0, "teacher_tokens": 5}}}
    whole = client.chat.completions.create(**asked).choices[0].logprobs.content
    chunks = [chunk.choices[0] for chunk in client.chat.completions.create(**asked, stream=True)]
    assert [row for chunk in chunks if chunk.logprobs for row in chunk.logprobs.content] == whole
    assert {row.author for row in whole} == {"student", "command", "teacher"}
    for row in whole:
        best = [top.logprob for top in row.top_logprobs]
        assert best == sorted(best, reverse=True)
        assert row.logprob <= 0
        if row.author == "teacher":
            assert best == []
        elif row.author == "student":
            assert len(best) == 20
            assert row.logprob <= best[-1] or (row.token, row.logprob) in [(top.token, top.logprob)
                                                                          for top in row.top_logprobs]


def test_openai_client_gets_five_of_a_continued_text_whole_and_streamed(client):
    asked = {"model": "relay-decoder", "prompt": "How many", "max_tokens": 30, "seed": 4, "temperature": 1.0,
             "logprobs": 5, "extra_body": {"relay": {"call_bias": 15.0, "teacher_tokens": 5}}}
    whole = client.completions.create(**asked).choices[0].logprobs
    parts = [chunk.choices[0].logprobs for chunk in client.completions.create(**asked, stream=True)
             if chunk.choices[0].logprobs]
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset", "authors"):
        assert [value for part in parts for value in getattr(part, name)] == getattr(whole, name)
    taught = [author == "teacher" for author in whole.authors]
    assert any(taught)
    assert None not in whole.token_logprobs
    assert all(row[token] == logprob for token, logprob, row in zip(
        whole.tokens, whole.token_logprobs, whole.top_logprobs, strict=True))
    sizes = [len(row) for row, author in zip(whole.top_logprobs, whole.authors, strict=True) if author == "student"]
    assert max(sizes) == 6  # the written token is none of the five now and then; tokens of the same text are one


def test_text_offset_of_an_echoed_prompt_counts_its_characters(client):
    prompt = "\u00dcn\u00ef \N{GRINNING FACE}?"
    choice = client.completions.create(model="relay-decoder", prompt=prompt, max_tokens=6, echo=True, logprobs=1,
                                       seed=1, extra_body={"relay": {"call_bias": 15.0}}).choices[0]
    offsets, authors = choice.logprobs.text_offset, choice.logprobs.authors
    assert offsets[authors.index("command")] >= len(prompt)
    spans = zip(offsets, [*offsets[1:], len(choice.text)], strict=True)
    assert "".join(choice.text[start:stop] for start, stop in spans) == choice.text
    assert offsets.count(4) > 1  # the tokens of one character
