"""Requests that are rare and right, or wrong in a rare way: each gets the answer or the error that it should."""

from __future__ import annotations

import gzip
import json

import pytest

from relayllm.relay.bias_curve import OWN, BiasCurve, CallSetting
from relayllm.serving.api.limits import HttpLimits
from tests.support.fakes_serving import scripted_decoder, serving

USER = {"role": "user", "content": "How many pens?"}
TEXT = "There are 3 boxes with 4 pens. 3 x 4 = 12. The answer is 12."


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


def respond(server, **body):
    return server.client.post("/v1/responses", json={"input": "How many pens?", **body})


@pytest.mark.parametrize(("name", "shown"), [
    ("/srv/models/secret/teacher", "teacher"), ("http://user:word@10.0.0.7:8001", "remote"), ("strong", "strong")])
def test_calls_and_metrics_tell_no_folder_and_no_address_of_the_teacher(name, shown):
    decoder = scripted_decoder()
    decoder.teacher.engine.name = name
    with serving(decoder) as server:
        assert {call["teacher"] for call in server.chat().json()["relay"]["calls"]} == {shown}
        assert server.metric(f'relay_calls_total{{alias="champion",failed="false",teacher="{shown}"') == 2
        assert "secret" not in server.client.get("/metrics").text


@pytest.mark.parametrize("stream", [False, True])
def test_fault_of_the_decoder_tells_no_folder_and_no_address(stream):
    said = "no /srv/models/secret/part-1.bin at http://user@10.0.0.7:8001/v1: I/O 3/4"
    with serving(scripted_decoder(fault=lambda: RuntimeError(said))) as server:
        answer = server.chat(stream=stream).text
    assert "no part-1.bin at <address>: I/O 3/4" in answer
    assert not any(word in answer for word in ("secret", "10.0.0.7", "user"))


@pytest.mark.parametrize("more", [{}, {"logprobs": 1}])
def test_echoed_prompt_beyond_the_context_is_refused(server, more):
    answer = server.complete(prompt=[5] * 600, max_tokens=0, echo=True, **more)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")


def test_echo_of_a_prompt_that_fills_the_context_needs_no_room_for_an_answer(server):
    assert server.complete(prompt=[5] * 512, max_tokens=0, echo=True).status_code == 200


def test_stream_that_only_echoes_tells_the_prompts(server):
    lines = server.complete(prompt=["a", "pens"], max_tokens=0, echo=True, stream=True).text.split("\n\n")
    assert lines[-2] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: "))["choices"][0] for line in lines[:-2]]
    assert [(chunk["index"], chunk["text"], chunk["finish_reason"]) for chunk in chunks] == [
        (0, "a", None), (1, "pens", None), (0, "", "length"), (1, "", "length")]


@pytest.mark.parametrize(("body", "message"), [
    ({"model": "x" * 201}, "model: must have at most 200 characters"),
    ({"stop": ["a"] * 17}, "stop: must have at most 16 items, not 17"),
    ({"stop": "x" * 257}, "stop: must have at most 256 characters"),
    ({"messages": []}, "messages: must have at least 1 item, not 0")])
def test_lengths_are_told_without_words_of_the_validator(server, body, message):
    answer = server.chat(**body)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, message)


@pytest.mark.parametrize(("body", "param", "said"), [
    ({"stream_options": {"include_usage": True}}, "stream_options", "is for streams only"),
    ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
    ({"messages": [USER, {"role": "assistant", "content": "3"}]}, "messages", "the last message is the assistant's"),
    ({"continue_final_message": True}, "continue_final_message", "is true and the last message is the user's"),
    ({"messages": [{"role": "user"}]}, "messages.0.content", "a message of the user needs it"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text", "is missing"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": None}]}]}, "messages.0.content.0.text",
     "is missing")])
def test_fields_that_do_not_go_together_are_told_of_the_one_to_change(server, body, param, said):
    answer = server.chat(**body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)
    assert error["message"].startswith(f"{param}: {said}")


@pytest.mark.parametrize("field", ["model", "stop", "user_message"])
def test_half_a_character_is_told_in_the_same_words_wherever_it_stands(server, field):
    body = r'{"messages": [{"role": "user", "content": "\ud800"}]}' if field == "user_message" else (
        json.dumps({"messages": [USER], field: "\ud800"}))
    answer = server.client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    message = answer.json()["error"]["message"]
    assert answer.status_code == 400
    assert message.endswith("holds half a character (an unpaired surrogate), which is no text")


@pytest.mark.parametrize(("ask", "param"), [
    (lambda server: server.chat(max_tokens=600), "max_tokens"),
    (lambda server: server.chat(max_completion_tokens=600), "max_completion_tokens"),
    (lambda server: server.complete(max_tokens=600), "max_tokens"),
    (lambda server: respond(server, max_output_tokens=600), "max_output_tokens"),
    (lambda server: server.complete(prompt="pens " * 600, max_tokens=600), "prompt")])
def test_answer_that_is_too_long_names_its_limit_and_a_prompt_that_is_itself(server, ask, param):
    error = ask(server).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", param)
    assert error["message"].startswith("this model's maximum context length is 512 tokens")  # litellm goes by it


@pytest.mark.parametrize("given", ["pens " * 2000, [USER] * 512, [USER] * 513])
def test_response_that_does_not_fit_names_its_own_field(server, given):
    answer = respond(server, input=given, instructions="Be brief.")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input")


@pytest.mark.parametrize("more", [
    {"reasoning": {"summary": None}}, {"reasoning": {"effort": "none"}}, {"text": {"format": None}},
    {"text": {"format": {"type": "text"}, "verbosity": None}}, {"previous_response_id": ""},
    {"text": {"format": {"type": "text"}, "verbosity": "medium"}}, {"text": {"verbosity": "medium"}}])
def test_response_fields_whose_parts_ask_for_nothing_are_as_absent(server, more):
    assert respond(server, **more).status_code == 200


def test_packed_requests_are_counted_under_their_route(server):
    line = 'relay_requests_total{route="/v1/chat/completions",status="200"}'
    before = server.metric(line)
    server.client.post("/v1/chat/completions", content=gzip.compress(json.dumps({"messages": [USER]}).encode()),
                       headers={"content-type": "application/json", "content-encoding": "gzip"})
    assert server.metric(line) == before + 1


def test_bug_in_a_stream_is_told_to_the_client():
    with serving() as server:
        server.model_router.champion.response_tokenizer = None
        *_, last, end = server.chat(stream=True).text.split("\n\n")
    error = json.loads(last.removeprefix("data: "))["error"]
    assert (error["type"], "AttributeError" in error["message"], end) == ("server_error", True, "")


def test_bug_in_one_answer_leaves_the_connection_to_the_next_and_pages_elsewhere_can_read_it():
    origin = "https://app.example"
    with serving(limits=HttpLimits(origins=(origin,))) as server:
        champion = server.model_router.champion
        champion.prompt_encoder, kept = None, champion.prompt_encoder
        failed = server.client.post("/v1/chat/completions", json={"messages": [USER]}, headers={"origin": origin})
        assert (failed.status_code, failed.headers["access-control-allow-origin"]) == (503, origin)
        assert "AttributeError" in failed.json()["error"]["message"]
        champion.prompt_encoder = kept
        assert server.chat().status_code == 200
        champion.prompt_encoder = None
        assert server.client.post("/invocations", json={"inputs": ["x"]}).status_code == 503
        champion.prompt_encoder = kept


def test_call_ratio_without_a_curve_is_refused_by_its_name_and_invocations_set_it_by_the_curve(server):
    for named, param in (({"model": "relay-decoder@0.02"}, "model"),
                         ({"relay": {"call_ratio": 0.02}}, "relay.call_ratio")):
        assert server.chat(**named).json()["error"]["param"] == param
    body = {"inputs": ["How many pens?"], "params": {"call_ratio": 0.02}}
    refused = server.client.post("/invocations", json=body)
    assert (refused.status_code, "bias curve" in refused.json()["error"]["message"]) == (400, True)
    server.model_router.champion.bias_curve = BiasCurve((CallSetting(-8.0), OWN), (0.0, 0.04))
    assert server.client.post("/invocations", json=body).json()["predictions"][0]["text"] == TEXT
    twice = {**body, "params": {"call_ratio": 0.02, "call_bias": 1.0}}
    assert server.client.post("/invocations", json=twice).status_code == 400
