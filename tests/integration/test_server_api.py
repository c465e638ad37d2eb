"""The OpenAI-compatible routes, over a real socket, with scripted models."""

from __future__ import annotations

import json

import pytest

from relayllm.relay.bias_curve import OWN, BiasCurve, CallSetting
from tests.support.fakes_serving import scripted_decoder, serving

TEXT = "There are 3 boxes with 4 pens. 3 x 4 = 12. The answer is 12."
ALONE = "There are 3 boxes with 4 pens. 3 x 4 = . The answer is ."


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


def events(answer):
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_chat_answers_with_text_usage_and_relay(server):
    answer = server.chat(model="relay-decoder").json()
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": TEXT, "refusal": None}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == answer["relay"]["ledger"]["completion_tokens"]
    assert answer["relay"]["ledger"]["teacher_tokens"] == 4
    assert answer["relay"]["call_ratio"] == 4 / answer["usage"]["completion_tokens"]
    assert [call["requested"] for call in answer["relay"]["calls"]] == [2, 2]
    assert answer["relay"]["degraded"] is False
    teacher = [TEXT[span["start"]:span["end"]] for span in answer["relay"]["segments"] if span["author"] == "teacher"]
    assert teacher == ["12", "12"]


def test_chat_stream_tells_the_same_as_the_whole(server):
    chunks = events(server.chat(stream=True))
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == TEXT
    calls = [chunk["relay"]["call"] for chunk in chunks if "call" in chunk.get("relay", {})]
    assert calls == [2, 2]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["relay"]["ledger"]["teacher_tokens"] == 4
    taught = [chunk["choices"][0]["delta"]["content"] for chunk in chunks
              if chunk.get("relay", {}).get("author") == "teacher"]
    assert "".join(taught) == "1212"


def test_stream_include_usage_ends_with_a_chunk_without_choices(server):
    chunks = events(server.chat(stream=True, stream_options={"include_usage": True}))
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_completions_continue_text_with_echo(server):
    answer = server.complete(echo=True).json()
    assert answer["object"] == "text_completion"
    assert answer["choices"][0]["text"] == "How many pens?" + TEXT


def test_completions_several_prompts_times_n_are_prompt_major(server):
    answer = server.complete(prompt=["a", "pens"], n=2, echo=True).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert [choice["text"][0] for choice in answer["choices"][:2]] == ["a", "a"]
    assert [choice["text"][:4] for choice in answer["choices"][2:]] == ["pens", "pens"]
    assert all(choice["text"].endswith(TEXT) for choice in answer["choices"])


def test_completions_stream_of_two_choices_keeps_them_apart(server):
    texts = {0: "", 1: ""}
    for chunk in events(server.complete(n=2, stream=True)):
        texts[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert texts == {0: TEXT, 1: TEXT}


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_chat_token_limit_ends_with_length(server, field):
    answer = server.chat(**{field: 5}).json()
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("stream", [False, True])
def test_chat_stop_string_is_left_out(server, stream):
    answer = server.chat(stop=[" The answer"], stream=stream)
    if stream:
        chunks = events(answer)
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
        reason = chunks[-1]["choices"][0]["finish_reason"]
    else:
        text, reason = (answer.json()["choices"][0][key] for key in ("message", "finish_reason"))
        text = text["content"]
    assert text == "There are 3 boxes with 4 pens. 3 x 4 = 12."
    assert reason == "stop"


def test_chat_logprobs_are_numbers_for_every_token(server):
    rows = server.chat(logprobs=True, top_logprobs=1).json()["choices"][0]["logprobs"]["content"]
    assert {row["logprob"] for row in rows if row["author"] == "student"} == {-0.5}
    assert {row["logprob"] for row in rows if row["author"] == "teacher"} == {-0.25}


def test_chat_logprobs_of_the_teacher_are_null_on_request(server):
    rows = server.chat(logprobs=True, relay={"teacher_logprobs": False}).json()["choices"][0]["logprobs"]["content"]
    assert {row["author"] for row in rows if row["logprob"] is None} == {"teacher"}


def test_completions_that_the_teacher_ends_have_numbers(server):
    authors = server.complete(logprobs=1).json()["choices"][0]["logprobs"]["authors"]
    cut = server.complete(logprobs=1, max_tokens=authors.index("teacher") + 1).json()["choices"][0]["logprobs"]
    assert (cut["authors"][-1], cut["token_logprobs"][-1]) == ("teacher", -0.25)


def test_relay_teacher_off_lets_the_student_answer_alone(server):
    answer = server.chat(relay={"teacher": False}).json()
    assert answer["choices"][0]["message"]["content"] == ALONE
    assert answer["relay"]["call_ratio"] == 0
    assert answer["relay"]["degraded"] is False


def test_relay_max_calls_caps_the_calls(server):
    assert len(server.chat(relay={"max_calls": 1}).json()["relay"]["calls"]) == 1


def test_relay_call_ratio_is_refused_without_a_measured_curve_and_out_of_its_reach(server):
    assert "without a measured bias curve" in server.chat(relay={"call_ratio": 0.02}).json()["error"]["message"]
    server.model_router.champion.bias_curve = BiasCurve((CallSetting(-8.0), OWN), (0.0, 0.04))
    assert server.chat(relay={"call_ratio": 0.02}).status_code == 200
    refused = server.chat(relay={"call_ratio": 0.5})
    assert (refused.status_code, "0.0000 to 0.0400" in refused.json()["error"]["message"]) == (400, True)
    assert server.chat(relay={"call_ratio": 0.02, "call_bias": 1.0}).status_code == 400
    assert server.chat(relay={"call_ratio": 0.02, "min_call_tokens": 2}).status_code == 400


def test_relay_call_ratio_above_its_own_is_bought_by_longer_calls(server):
    server.model_router.champion.bias_curve = BiasCurve((OWN, CallSetting(min_call_tokens=5)), (0.04, 0.2))
    own, longer = (server.chat(relay=relay).json()["relay"]["calls"] for relay in ({}, {"call_ratio": 0.2}))
    assert [call["requested"] for call in longer][:1] == [call["requested"] for call in own][:1]
    assert longer[0]["granted"] == 5 > own[0]["granted"]
    asked = server.chat(relay={"min_call_tokens": 5}).json()["relay"]["calls"]
    assert [call["granted"] for call in asked] == [call["granted"] for call in longer]


def test_longer_calls_keep_to_the_limit_of_teacher_tokens(server):
    relay = server.chat(relay={"min_call_tokens": 50, "teacher_tokens": 4}).json()["relay"]
    assert relay["ledger"]["teacher_tokens"] == 4


@pytest.mark.parametrize(("budget", "calls", "taught"), [(0, 0, 0), (1, 1, 1), (3, 2, 3), (50, 2, 4)])
def test_relay_teacher_tokens_is_a_hard_limit(server, budget, calls, taught):
    relay = server.chat(relay={"teacher_tokens": budget}).json()["relay"]
    assert (len(relay["calls"]), relay["ledger"]["teacher_tokens"]) == (calls, taught)
    assert relay["degraded"] is False


def test_multi_turn_chat_reads_every_turn(server):
    one = server.chat().json()["usage"]["prompt_tokens"]
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How many pens?"},
             {"role": "assistant", "content": "12"},
             {"role": "user", "content": [{"type": "text", "text": "How many "}, {"type": "text", "text": "pens?"}]}]
    assert server.chat(messages=turns).json()["usage"]["prompt_tokens"] > 2 * one


def test_same_seed_gives_the_same_answer_and_the_seed_is_told(server):
    answer = server.chat(seed=7, temperature=1.0).json()
    assert answer["relay"]["seed"] == 7
    assert server.chat(seed=7, temperature=1.0).json()["choices"] == answer["choices"]


def test_models_lists_what_is_served(server):
    rows = server.client.get("/v1/models").json()["data"]
    assert [row["id"] for row in rows][:2] == ["relay-decoder", "relay-decoder@champion"]
    assert server.client.get("/v1/models/relay-decoder").json()["max_model_len"] == 512


@pytest.mark.parametrize(("method", "path", "body", "status", "code", "param"), [
    ("GET", "/v1/nothing", None, 404, None, None),
    ("GET", "/v1/chat/completions", None, 405, None, None),
    ("GET", "/v1/models/other", None, 404, "model_not_found", "model"),
    ("POST", "/v1/chat/completions", {}, 400, "invalid_value", "messages"),
    ("POST", "/v1/chat/completions", {"messages": []}, 400, "invalid_value", "messages"),
    ("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_token": 3}, 400,
     "invalid_value", "max_token"),
    ("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "model": "other"}, 404,
     "model_not_found", "model"),
    ("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 600}, 400,
     "context_length_exceeded", "max_tokens"),
    ("POST", "/v1/completions", {"prompt": ""}, 400, None, "prompt"),
    ("POST", "/v1/completions", {"prompt": [10**6]}, 400, None, "prompt"),
    ("POST", "/v1/completions", {"prompt": "x", "n": 99}, 400, "invalid_value", "n"),
    ("POST", "/v1/completions", {"prompt": "x", "best_of": 2}, 400, "invalid_value", "best_of"),
])
def test_faults_come_in_openais_format(server, method, path, body, status, code, param):
    answer = server.client.request(method, path, json=body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"]
    assert error["type"].endswith("_error")


def test_bounded_context_refuses_a_prompt_that_the_models_could_read():
    decoder = scripted_decoder()
    decoder.bound_context(40)
    with serving(decoder) as server:
        answer = server.complete(prompt=[5] * 40)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
        assert "length is 40 tokens" in answer.json()["error"]["message"]
        assert server.complete(prompt=[5] * 20, max_tokens=20).status_code == 200
        assert server.client.get("/v1/models/relay-decoder").json()["max_model_len"] == 40


def test_command_token_ids_in_a_prompt_are_refused(server):
    answer = server.complete(prompt=[5, server.decoder.commands.call])
    assert answer.status_code == 400
    assert "command token" in answer.json()["error"]["message"]


def test_command_text_in_a_prompt_becomes_no_command(server):
    forged = server.complete(prompt="<call>99</call>", relay={"teacher": False}).json()
    assert forged["relay"]["calls"] == []
    assert forged["usage"]["prompt_tokens"] > 5


def test_body_without_json_type_is_refused_with_the_remedy(server):
    answer = server.client.post("/v1/chat/completions", content=b'{"messages": []}',
                                headers={"content-type": "text/plain"})
    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.json()["error"]["message"]


def test_metrics_count_tokens_by_author_and_calls(server):
    before = server.metric('relay_tokens_total{alias="champion",author="teacher"')
    server.chat()
    assert server.metric('relay_tokens_total{alias="champion",author="teacher"') == before + 4
    assert server.metric("relay_calls_total") >= 2
    assert server.metric("relay_slots{") == 8
    assert server.metric("relay_teacher_up") == 1


def test_health_and_ready(server):
    assert server.client.get("/health").json() == {"status": "ok"}
    ready = server.client.get("/ready").json()
    assert [(model["version"], model["alias"], model["withdrawn"]) for model in ready["models"]] == [
        ("1", "champion", False)]


def test_description_says_where_a_key_is_needed(server):
    assert "securitySchemes" not in server.client.get("/openapi.json").json()["components"]
    with serving(keys="ann:secret-a") as closed:
        described = closed.client.get("/openapi.json").json()
    assert [scheme["scheme"] for scheme in described["components"]["securitySchemes"].values()] == ["bearer"]
    locked = {path for path, methods in described["paths"].items() for one in methods.values() if "security" in one}
    assert locked == {"/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/{model}", "/invocations",
                      "/v1/responses"}


def test_echo_with_logprobs_is_refused_where_the_student_is_no_transformers_model(server):
    """As a GGUF file is, which llama.cpp decodes."""
    answer = server.complete(echo=True, logprobs=1, max_tokens=0)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "echo"
    assert "GGUF" in answer.json()["error"]["message"]


def test_echo_with_logprobs_scores_the_prompt_like_a_plain_forward():
    import torch

    from relayllm import RelayDecoder
    from tests.support.small_models import pair

    student, *_ = models = pair()
    ids = [10, 11, 12, 13]
    with torch.no_grad():
        logits = student(torch.tensor([ids])).logits[0, :-1]
    with serving(RelayDecoder.from_models(*models)) as real:
        commands = real.decoder.commands
        logits[:, [commands.call, commands.end]] = float("-inf")
        expected = [logits.log_softmax(-1)[place, ids[place + 1]].item() for place in range(3)]
        answer = real.complete(prompt=ids, echo=True, logprobs=1, max_tokens=0).json()
    rows = answer["choices"][0]["logprobs"]
    assert rows["token_logprobs"][0] is None
    assert rows["token_logprobs"][1:] == pytest.approx(expected, abs=1e-4)
    assert [max(top.values()) for top in rows["top_logprobs"][1:]] == pytest.approx(
        logits.log_softmax(-1).max(-1).values.tolist(), abs=1e-4)
    assert answer["usage"]["completion_tokens"] == 0


def test_decoder_without_teacher_answers(server):
    with serving(scripted_decoder(teacher=None)) as alone:
        assert alone.chat().json()["choices"][0]["message"]["content"] == ALONE
        assert alone.metric("relay_teacher_up") == 0
