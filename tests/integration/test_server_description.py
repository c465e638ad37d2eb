"""The API's description at /openapi.json: every answer has its schema, and every answer keeps to it."""

from __future__ import annotations

import json

import pytest

from relayllm.relay.prices import Prices
from relayllm.serving.api import schemas
from tests.support.fakes_serving import serving


@pytest.fixture(scope="module")
def server():
    with serving(prices=Prices(student=1.0, teacher=10.0)) as running:
        yield running


@pytest.fixture(scope="module")
def described(server):
    return server.client.get("/openapi.json").json()


def test_every_route_of_the_description_has_a_schema_for_its_answer(described):
    bare = [(path, method, status) for path, methods in described["paths"].items() for method, one in methods.items()
            for status, answer in one["responses"].items()
            for kind, content in answer.get("content", {}).items()
            if kind == "application/json" and not content.get("schema")]
    assert bare == []


@pytest.mark.parametrize(("kind", "schema"), [
    ("chat.completion", schemas.ChatCompletion), ("chat.completion.chunk", schemas.ChatCompletionChunk),
    ("text_completion", schemas.TextCompletion), ("text_completion.chunk", schemas.TextCompletionChunk)])
def test_examples_of_the_description_keep_to_their_schema(described, kind, schema):
    schema.model_validate(schemas.EXAMPLES[kind])
    shown = [content["example"]["choices"][0].keys() for methods in described["paths"].values()
             for one in methods.values() for content in one["responses"]["200"].get("content", {}).values()
             if content.get("example", {}).get("object") == kind.removesuffix(".chunk" if "text" in kind else "")]
    assert any(keys <= schemas.EXAMPLES[kind]["choices"][0].keys() for keys in shown)


@pytest.mark.parametrize("more", [{}, {"n": 2}, {"logprobs": True, "top_logprobs": 2}, {"relay": {"teacher": False}}])
def test_chat_answers_keep_to_the_schema_whole_and_streamed(server, more):
    schemas.ChatCompletion.model_validate(server.chat(**more).json())
    for chunk in chunks(server.chat(stream=True, stream_options={"include_usage": True}, **more)):
        schemas.ChatCompletionChunk.model_validate(chunk)


@pytest.mark.parametrize("more", [{}, {"n": 2, "echo": True}, {"logprobs": 2}])
def test_continued_texts_keep_to_the_schema_whole_and_streamed(server, more):
    schemas.TextCompletion.model_validate(server.complete(**more).json())
    for chunk in chunks(server.complete(stream=True, **more)):
        schemas.TextCompletionChunk.model_validate(chunk)


def test_other_answers_keep_to_their_schema(server):
    schemas.ModelList.model_validate(server.client.get("/v1/models").json())
    schemas.ModelEntry.model_validate(server.client.get("/v1/models/relay-decoder").json())
    schemas.Health.model_validate(server.client.get("/health").json())
    schemas.Readiness.model_validate(server.client.get("/ready").json())
    schemas.TableAnswer.model_validate(server.client.post("/invocations", json={"inputs": [{"prompt": "x"}]}).json())
    schemas.ErrorAnswer.model_validate(server.client.get("/v1/models/other").json())


def chunks(answer):
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]
