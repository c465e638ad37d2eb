"""`/v1/responses` through the openai client: the same answers as chat, whole and as events, and nothing kept."""

from __future__ import annotations

import httpx
import openai
import pytest

from relayllm.serving.api.schemas.answers import ResponseObject
from tests.support.fakes_serving import serving

TEXT = "There are 3 boxes with 4 pens. 3 x 4 = 12. The answer is 12."


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0,
                         http_client=httpx.Client(trust_env=False))


def test_response_is_the_chats_answer_with_its_ledger(client, server):
    answer = client.responses.create(model="relay-decoder", input="How many pens?", instructions="Be brief.")
    assert (answer.output_text, answer.status) == (TEXT, "completed")
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many pens?"}]
    chat = server.chat(messages=messages).json()
    assert answer.usage.input_tokens == chat["usage"]["prompt_tokens"]
    assert answer.usage.output_tokens == chat["usage"]["completion_tokens"]
    assert answer.relay["ledger"]["teacher_tokens"] == 4


def test_response_streams_the_events_that_the_client_knows(client):
    events = list(client.responses.create(model="relay-decoder", input="How many pens?", stream=True))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == TEXT
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.output_text == TEXT


def test_response_of_a_conversation_takes_its_own_output_back(client):
    first = client.responses.create(model="relay-decoder", input=[{"role": "user", "content": "How many pens?"}])
    turns = [{"role": "user", "content": [{"type": "input_text", "text": "How many pens?"}]}, *first.output,
             {"role": "user", "content": "And boxes?"}]
    again = client.responses.create(model="relay-decoder", input=turns)
    assert again.usage.input_tokens > first.usage.input_tokens + 20


def test_response_that_is_cut_says_so(client):
    answer = client.responses.create(model="relay-decoder", input="How many pens?", max_output_tokens=5)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert answer.usage.output_tokens == 5
    events = list(client.responses.create(model="relay-decoder", input="x", max_output_tokens=5, stream=True))
    assert events[-1].type == "response.incomplete"


@pytest.mark.parametrize(("more", "param", "words"), [
    ({"previous_response_id": "resp_1"}, "previous_response_id", "conversations kept by the server are not supported"),
    ({"background": True}, "background", "not supported"),
    ({"tools": [{"type": "web_search"}]}, "tools", "tools are not supported"),
    ({"input": [{"role": "assistant", "content": "x"}]}, "input", "end with one of the user"),
    ({"input": [{"role": "user", "content": None}]}, "input.0.content", "a message of the user needs it"),
    ({"input": [{"role": "user", "content": []}]}, "input.0.content", "a message of the user needs it"),
    ({"input": [{"role": "tool", "content": "x"}]}, "input.0.role", "tools are not supported by this server"),
    ({"text": {"format": {"type": "json_object"}}}, "text", "response formats other than text) are not supported"),
    ({"text": {"verbosity": "low"}}, "text", "verbosity"),
    ({"reasoning": {"effort": "high"}}, "reasoning", "not supported"), ({"input": []}, "input", "at least 1"),
    ({"inputs": "x"}, "inputs", "no such field"), ({"top_logprobs": 2}, "top_logprobs", "not supported"),
    ({"input": [{"type": "function_call_output", "call_id": "c", "output": "3"}]}, "input.0",
     "input.0: items other than messages are not supported by this server"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0", "items other than messages are not supported"),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input.0.content.0.type",
     "input.0.content.0.type: parts other than text are not supported by this server")])
def test_response_refuses_what_needs_a_memory_or_tools(server, more, param, words):
    refused = server.client.post("/v1/responses", json={"input": "x", **more})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    assert words in refused.json()["error"]["message"]
    assert "missing" not in refused.json()["error"]["message"]


def test_response_keeps_to_its_schema_and_asks_for_nothing_with_null(server):
    nothing = {"tools": [], "reasoning": None, "text": {"format": {"type": "text"}}, "store": True, "metadata": None,
               "top_logprobs": 0, "moderation": None, "truncation": "disabled",
               "include": ["reasoning.encrypted_content"], "previous_response_id": None, "tool_choice": "auto"}
    ResponseObject.model_validate(server.client.post("/v1/responses", json={"input": "x", **nothing}).json())


def test_response_of_a_failed_decoder_is_an_error():
    from tests.support.fakes_serving import scripted_decoder

    with serving(scripted_decoder(fault=lambda: RuntimeError("broken"))) as server:
        assert server.client.post("/v1/responses", json={"input": "x"}).status_code == 503


@pytest.mark.parametrize("silent", [{"content": None}, {"content": []}, {"content": ""}, {}])
def test_silent_turn_of_the_assistant_is_taken_as_chat_takes_it(server, silent):
    turns = [{"role": "user", "content": "How many?"}, {"role": "assistant", **silent},
             {"role": "user", "content": "And?"}]
    answer = server.client.post("/v1/responses", json={"input": turns})
    chat = server.client.post("/v1/chat/completions", json={"messages": turns})
    assert (answer.status_code, chat.status_code) == (200, 200)
    assert answer.json()["usage"]["input_tokens"] == chat.json()["usage"]["prompt_tokens"]
