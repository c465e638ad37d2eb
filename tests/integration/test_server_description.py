"""The API's description at /openapi.json: every answer has its schema, and every answer keeps to it."""

from __future__ import annotations

import json

import pytest

from relayllm.relay.prices import Prices
from relayllm.relay.trace import Ledger
from relayllm.serving.api.schemas import answers
from relayllm.serving.api.schemas import server as about
from relayllm.serving.api.schemas.examples import ERROR, EXAMPLES, ROUTES
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


def test_every_fault_of_the_description_has_the_form_that_faults_have(described):
    forms = {content["schema"]["$ref"].rsplit("/", 1)[1] for methods in described["paths"].values()
             for one in methods.values() for status, answer in one["responses"].items() if status != "200"
             for content in answer["content"].values()}
    assert forms == {"ErrorAnswer"}


@pytest.mark.parametrize(("kind", "schema"), [
    ("chat.completion", answers.ChatCompletion), ("chat.completion.chunk", answers.ChatCompletionChunk),
    ("text_completion", answers.TextCompletion), ("text_completion.chunk", answers.TextCompletionChunk)])
def test_examples_of_the_description_keep_to_their_schema(described, kind, schema):
    schema.model_validate(EXAMPLES[kind])
    shown = [content["example"]["choices"][0].keys() for methods in described["paths"].values()
             for one in methods.values() for content in one["responses"]["200"].get("content", {}).values()
             if content.get("example", {}).get("object") == kind.removesuffix(".chunk" if "text" in kind else "")]
    assert any(keys <= EXAMPLES[kind]["choices"][0].keys() for keys in shown)


@pytest.mark.parametrize(("route", "schema"), [
    ("POST /v1/responses", answers.ResponseObject), ("POST /invocations", answers.TableAnswer),
    ("GET /v1/models", about.ModelList), ("GET /v1/models/{model}", about.ModelEntry),
    ("GET /health", about.Health), ("GET /ready", about.Readiness)])
def test_examples_of_other_routes_keep_to_their_schema(route, schema):
    schema.model_validate(ROUTES[route].answer)


def test_examples_are_of_every_route_and_of_no_other(described):
    assert set(ROUTES) == {f"{method.upper()} {path}" for path, methods in described["paths"].items()
                           for method in methods}
    about.ErrorAnswer.model_validate(ERROR)


@pytest.mark.parametrize("route", [route for route, one in ROUTES.items() if one.request])
def test_examples_of_requests_are_answered(server, route):
    answer = server.client.post(route.removeprefix("POST "), json=ROUTES[route].request)
    assert answer.status_code == 200, answer.text


def test_example_of_a_wrong_request_is_what_the_server_says(server):
    assert server.chat(max_tokens=0).json() == ERROR


@pytest.mark.parametrize("schema", [about.ModelEntry, about.ReadyModel, about.ErrorEntry])
def test_every_field_of_what_the_server_says_of_itself_is_described(schema):
    plain = {"object"}  # of one value, as OpenAI has it
    assert [name for name, one in schema.model_fields.items() if not one.description and name not in plain] == []


def test_example_of_a_ledger_adds_up_and_costs_what_its_tokens_do():
    shown = dict(EXAMPLES["chat.completion"]["relay"]["ledger"])
    cost, currency, parts = (shown.pop(name) for name in ("cost", "currency", "cost_parts"))
    total = shown.pop("completion_tokens")
    prices, ledger = Prices(student=0.05, teacher=2.4, teacher_read=0.6), Ledger(**shown)
    assert total == ledger.completion_tokens
    assert (cost, currency) == (pytest.approx(prices.cost(ledger)), "USD")
    assert parts == pytest.approx({name: part for name, part in prices.parts(ledger).items() if part})


@pytest.mark.parametrize("more", [{}, {"n": 2}, {"logprobs": True, "top_logprobs": 2}, {"relay": {"teacher": False}}])
def test_chat_answers_keep_to_the_schema_whole_and_streamed(server, more):
    answers.ChatCompletion.model_validate(server.chat(**more).json())
    for chunk in chunks(server.chat(stream=True, stream_options={"include_usage": True}, **more)):
        answers.ChatCompletionChunk.model_validate(chunk)


@pytest.mark.parametrize("more", [{}, {"n": 2, "echo": True}, {"logprobs": 2}])
def test_continued_texts_keep_to_the_schema_whole_and_streamed(server, more):
    answers.TextCompletion.model_validate(server.complete(**more).json())
    for chunk in chunks(server.complete(stream=True, **more)):
        answers.TextCompletionChunk.model_validate(chunk)


def test_other_answers_keep_to_their_schema(server):
    about.ModelList.model_validate(server.client.get("/v1/models").json())
    about.ModelEntry.model_validate(server.client.get("/v1/models/relay-decoder").json())
    about.Health.model_validate(server.client.get("/health").json())
    about.Readiness.model_validate(server.client.get("/ready").json())
    answers.TableAnswer.model_validate(server.client.post("/invocations", json={"inputs": [{"prompt": "x"}]}).json())
    about.ErrorAnswer.model_validate(server.client.get("/v1/models/other").json())


def chunks(answer):
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]
