"""What people's clients send and expect: nulls, features that are not there, names of models, browsers, proxies."""

from __future__ import annotations

import gzip
import json
import zlib

import httpx
import openai
import pytest
from openai.types import completion_create_params as text_params
from openai.types.chat import completion_create_params as chat_params
from openai.types.responses import response_create_params as response_params

from relayllm.relay.bias_curve import OWN, BiasCurve, CallSetting
from relayllm.relay.prices import Prices
from relayllm.serving.api.limits import HttpLimits
from relayllm.serving.api.protocol import ChatRequest, CompletionRequest
from relayllm.serving.api.response_request import ResponseRequest
from tests.support.fakes_serving import scripted_decoder, serving

TEXT = "There are 3 boxes with 4 pens. 3 x 4 = 12. The answer is 12."
USER = {"role": "user", "content": "How many pens?"}


@pytest.fixture(scope="module")
def server():
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0,
                         http_client=httpx.Client(trust_env=False))


def test_every_answer_has_an_id_and_a_callers_own_is_kept(server, client):
    answer = client.chat.completions.create(model="relay-decoder", messages=[USER])
    assert answer._request_id.startswith("req_")
    stream = client.chat.completions.create(model="relay-decoder", messages=[USER], stream=True)
    assert stream.response.headers["x-request-id"] != answer._request_id
    stream.close()
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="relay-decoder", messages=[])
    assert refused.value.request_id.startswith("req_")
    for given, kept in (("mine-7", True), ("two words", False), ("x" * 200, False)):
        found = httpx.get(f"{server.url}/health", headers={"x-request-id": given}, trust_env=False)
        assert (found.headers.get_list("x-request-id") == [given]) is kept


def test_completions_read_false_as_no_logprobs(server):
    answer = httpx.post(f"{server.url}/v1/completions", json={"prompt": "Pens?", "logprobs": False}, trust_env=False)
    assert answer.json()["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("more", [
    {"tools": None}, {"tools": []}, {"tool_choice": None}, {"tool_choice": "none"}, {"reasoning_effort": None},
    {"parallel_tool_calls": None}, {"parallel_tool_calls": True}, {"functions": []}, {"function_call": "none"},
    {"repetition_penalty": 1.0}, {"repetition_penalty": 1}, {"presence_penalty": 0}, {"frequency_penalty": 0.0},
    {"logit_bias": {}}, {"top_k": -1}, {"min_p": 0}, {"response_format": {"type": "text"}}, {"response_format": None},
    {"stop": ""}, {"stop": []}, {"stop": ["", ""]}, {"stop": None}, {"n": None}, {"metadata": {}}, {"user": None},
    {"service_tier": "auto"}, {"modalities": ["text"]}, {"audio": None}, {"unheard_of": None}, {"unheard_of": []},
    {"relay": None}, {"relay": {}}, {"seed": None}, {"temperature": None}, {"logprobs": None}, {"top_logprobs": None},
    {"stream_options": None}, {"model": None}, {"store": False}, {"max_tokens": None}, {"stream_options": {}},
    {"stream_options": {"include_usage": False, "include_obfuscation": None}}, {"top_logprobs": 0},
    {"tool_choice": ""}, {"reasoning_effort": ""}, {"logit_bias": []}, {"modalities": []}, {"guided_choice": []},
    {"verbosity": "medium"}, {"moderation": None}, {"response_format": {"type": "text", "schema": None}},
    {"use_beam_search": False}, {"length_penalty": 1.0}, {"early_stopping": False}, {"skip_special_tokens": True},
    {"spaces_between_special_tokens": True}, {"include_stop_str_in_output": False}, {"stop_token_ids": []},
    {"bad_words": []}, {"priority": 0}, {"add_special_tokens": False}, {"return_token_ids": False},
    {"chat_template": None}, {"chat_template_kwargs": {}}, {"documents": []}, {"prompt_logprobs": None}])
def test_what_asks_for_nothing_is_as_absent(server, more):
    answer = server.chat(**more)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == TEXT
    assert "x-relay-ignored-fields" not in answer.headers


def test_assistants_message_may_come_back_as_it_was_sent(server):
    said = server.chat().json()["choices"][0]["message"]
    for message in (said, {"role": "assistant", "content": None, "tool_calls": None, "annotations": []},
                    {"role": "assistant", "content": []}):
        assert server.chat(messages=[USER, message, USER]).status_code == 200


@pytest.mark.parametrize(("more", "param", "words"), [
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "tools are not supported by this server"),
    ({"tool_choice": "required"}, "tool_choice", "tools are not supported"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format", "response formats other"),
    ({"response_format": {"type": "json_object"}}, "response_format", "not supported by this server"),
    ({"presence_penalty": 0.5}, "presence_penalty", "penalties are not supported"),
    ({"repetition_penalty": 1.1}, "repetition_penalty", "penalties are not supported"),
    ({"logit_bias": {"5": 1}}, "logit_bias", "a logit bias is not supported"),
    ({"top_k": 40}, "top_k", "top_k is not supported"), ({"top_k": True}, "top_k", "top_k is not supported"),
    ({"min_p": 0.1}, "min_p", "min_p is not supported"),
    ({"reasoning_effort": "high"}, "reasoning_effort", "reasoning effort is not supported"),
    ({"audio": {"voice": "x"}}, "audio", "audio is not supported"),
    ({"web_search_options": {}}, "web_search_options", "web search is not supported"),
    ({"moderation": {"model": "m"}}, "moderation", "moderation is not supported"),
    ({"use_beam_search": True}, "use_beam_search", "beam search is not supported"),
    ({"skip_special_tokens": False}, "skip_special_tokens", "a text with special tokens is not supported"),
    ({"stop_token_ids": [5]}, "stop_token_ids", "stop_token_ids are not supported"),
    ({"chat_template_kwargs": {"x": 1}}, "chat_template_kwargs", "arguments of the chat template are not supported"),
    ({"stream": True, "stream_options": {"continuous_usage_stats": True}}, "stream_options.continuous_usage_stats",
     "a usage in every chunk is not supported"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
     "messages.0.content.0.type", "parts other than text are not supported"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}, USER]}, "messages.0.tool_calls",
     "not supported")])
def test_features_that_are_not_there_are_named(server, more, param, words):
    answer = server.chat(**more)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported_parameter", param)
    assert words in error["message"]


@pytest.mark.parametrize(("field", "value"), [
    ("max_tokens", 5.0), ("max_completion_tokens", 5.0), ("n", 2.0), ("seed", 7.0), ("top_k", -1.0),
    ("relay", {"max_calls": 1.0}), ("relay", {"teacher_tokens": 2.0})])
def test_whole_numbers_may_be_written_with_a_point(server, field, value):
    plain = {name: int(one) for name, one in value.items()} if isinstance(value, dict) else int(value)
    asked, expected = (server.chat(**{"seed": 3, field: one}).json()["choices"] for one in (value, plain))
    assert asked == expected
    assert server.chat(**{field: True}).status_code == 400


def test_load_tools_requests_are_answered(server):
    parts = [{"type": "text", "text": "How many pens?"}]
    asked = {"temperature": 0.0, "max_completion_tokens": 128, "repetition_penalty": 1.0, "stream": True,
             "stream_options": {"include_usage": True, "continuous_usage_stats": False}, "ignore_eos": False}
    answer = server.chat(messages=[{"role": "user", "content": parts}], **asked)
    assert json.loads(answer.text.split("\n\n")[-3].removeprefix("data: "))["usage"]["completion_tokens"] == 36
    assert server.complete(best_of=1, use_beam_search=False, temperature=0.0, max_tokens=5).status_code == 200


def test_hints_for_a_cache_are_ignored(server):
    hint = {"cache_control": {"type": "ephemeral"}}
    parts = [{"type": "text", "text": "How many pens?", **hint}]
    for message in ({"role": "user", "content": parts}, {**USER, **hint}):
        assert server.chat(messages=[message]).json()["choices"][0]["message"]["content"] == TEXT


def test_top_p_of_0_is_the_likeliest_token_as_openai_allows_it(server):
    assert server.chat(top_p=0).json()["choices"][0]["message"]["content"] == TEXT
    assert server.chat(top_p=-0.1).json()["error"]["param"] == "top_p"


@pytest.mark.parametrize("path", ["/v1/chat/completions/", "//v1/chat/completions", "/v1//chat/completions//"])
def test_slashes_of_a_joined_address_lead_to_the_same_route_without_a_redirect(server, path):
    answer = server.client.post(f"{server.url}{path}", json={"messages": [USER]}, follow_redirects=False)
    assert answer.json()["choices"][0]["message"]["content"] == TEXT
    for asked in ("/health/", "/v1/models/relay-decoder/", "//v1/models", "//"):
        assert server.client.get(f"{server.url}{asked}", follow_redirects=False).status_code == 200
    assert server.client.get("/docs/", follow_redirects=False).is_redirect  # its links are relative


@pytest.mark.parametrize(("params", "ours"), [
    (chat_params.CompletionCreateParamsBase, ChatRequest), (text_params.CompletionCreateParamsBase, CompletionRequest),
    (response_params.ResponseCreateParamsBase, ResponseRequest)])
def test_every_field_of_openais_client_is_known_by_name(params, ours):
    assert set(params.__annotations__) - set(ours.model_fields) == set()


@pytest.mark.parametrize(("more", "param", "message"), [
    ({"messages": [{"role": "user", "content": None}]}, "messages.0.content",
     "messages.0.content: a message of the user needs it"),
    ({"messages": [{"role": "user", "content": []}]}, "messages.0.content",
     "messages.0.content: a message of the user needs it"),
    ({"messages": [{"role": "user", "content": 3}]}, "messages.0.content",
     "messages.0.content: must be a text or a list"),
    ({"stop": 5}, "stop", "stop: must be a text or a list"),
    ({"stop": [5]}, "stop.0", "stop.0: must be a text"),
    ({"temperature": "hot"}, "temperature", "temperature: must be a number"),
    ({"temperature": 3}, "temperature", "temperature: must be less than or equal to 2"),
    ({"messages": "hi"}, "messages", "messages: must be a list"),
    ({"messages": None}, "messages", "messages: is missing"),
    ({"n": 1.5}, "n", "n: must be a whole number"), ({"stream": "yes"}, "stream", "stream: must be true or false"),
    ({"relay": {"calls": 1}}, "relay.calls", "relay.calls: this server knows no such field"),
    ({"messages": [{"role": "owner", "content": "x"}]}, "messages.0.role",
     "messages.0.role: must be 'system', 'developer', 'user' or 'assistant'"),
    ({"messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}]}, "messages.0.role",
     "messages.0.role: tools are not supported by this server"),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages.0.role",
     "messages.0.role: tools are not supported by this server")])
def test_errors_are_one_sentence_without_names_of_validators(server, more, param, message):
    answer = server.chat(**more)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert answer.json()["error"]["message"].startswith(message)
    assert "function" not in answer.text


@pytest.mark.parametrize("body", [
    {"prompt": 5}, {"prompt": [["x"]]}, {"prompt": {}}, {"prompt": "x", "logprobs": True}])
def test_errors_of_a_prompt_name_no_validator(server, body):
    error = server.client.post("/v1/completions", json=body).json()["error"]
    assert error["param"].split(".")[0] in body
    assert "[" not in error["message"] + error["param"]


@pytest.mark.parametrize("more", [
    {"temperature": 9}, {"tools": [{"type": "function", "function": {"name": "f"}}]}, {"max_tokens": 600},
    {"extra_body": {"unheard_of": 1}}, {"model": "relay-decoder@7"}, {"messages": []}])
def test_openais_client_meets_every_wrong_request_as_a_bad_request(client, more):
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**{"model": "relay-decoder", "messages": [USER], **more})


def test_unknown_fields_are_refused_by_name(server):
    answer = server.chat(session_id="s", messages=[{**USER, "id": "m"}])
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "session_id")
    assert "messages.0.id" in answer.json()["error"]["message"]


def test_unknown_fields_are_ignored_and_named_where_the_server_is_told_to():
    with serving(limits=HttpLimits(ignore_unknown=True)) as server:
        for stream in (False, True):
            answer = server.chat(session_id="s", features={"x": 1}, messages=[{**USER, "id": "m"}], stream=stream)
            assert answer.status_code == 200
            assert answer.headers["x-relay-ignored-fields"] == "session_id, features, messages.0.id"
        assert server.chat(**{"é\n": 1}).headers["x-relay-ignored-fields"] == "??"
        assert server.chat(relay={"max_call": 1}).status_code == 400
        assert server.chat(tools=[{}]).status_code == 400


@pytest.mark.parametrize(("path", "body"), [
    ("chat/completions", {"messages": [USER]}), ("completions", {"prompt": "How many?"}),
    ("responses", {"input": "How many?"})])
@pytest.mark.parametrize("stream", [False, True])
def test_sampling_hints_are_ignored_and_named_where_unknown_fields_are(path, body, stream):
    hints = {"top_k": 40, "min_p": 0.1, "typical_p": 0.9}
    with serving(limits=HttpLimits(ignore_unknown=True)) as server:
        def post(**more):
            return server.client.post(f"/v1/{path}", json={**body, "stream": stream, **more})
        answer = post(**hints, session_id="s")
        assert (answer.status_code, answer.headers["x-relay-ignored-fields"]) == (
            200, "top_k, min_p, typical_p, session_id")
        assert "x-relay-ignored-fields" not in post(top_k=-1, min_p=0, typical_p=None).headers
        for refused in ({"tools": [{}]}, {"presence_penalty": 0.5}, {"response_format": {"type": "json_object"}}):
            assert post(**hints, **refused).status_code == 400


def test_sampling_hint_and_unknown_field_are_refused_together(server):
    error = server.chat(top_k=40, session_id="s").json()["error"]
    assert (error["param"], error["code"]) == ("top_k", "unsupported_parameter")
    assert "session_id" in error["message"]


def test_last_message_of_the_assistant_is_continued_on_request_and_refused_otherwise(server):
    turns = [USER, {"role": "assistant", "content": "There are"}]
    refused = server.chat(messages=turns)
    assert refused.status_code == 400
    assert "continue_final_message" in refused.json()["error"]["message"]
    asked = server.chat(messages=turns, continue_final_message=True, add_generation_prompt=False)
    assert asked.status_code == 200
    closed = server.chat(messages=[*turns, USER]).json()["usage"]["prompt_tokens"]
    opened = server.chat().json()["usage"]["prompt_tokens"]
    assert opened < asked.json()["usage"]["prompt_tokens"] < closed
    assert server.chat(continue_final_message=True).status_code == 400
    assert server.chat(messages=turns, continue_final_message=True, add_generation_prompt=True).status_code == 400
    assert server.chat(add_generation_prompt=False).status_code == 400


def test_too_many_tokens_are_refused_or_capped():
    with serving(scripted_decoder(("word " * 300,), context=60)) as server:
        assert server.chat(max_tokens=60).status_code == 400
    with serving(scripted_decoder(("word " * 300,), context=60), limits=HttpLimits(cap_tokens=True)) as server:
        answer = server.chat(max_tokens=1024).json()
        assert answer["usage"]["total_tokens"] == 60
        assert answer["choices"][0]["finish_reason"] == "length"
        assert server.complete(prompt=[5] * 60, max_tokens=5).json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("text", ["Euro € and \N{GRINNING FACE} ", "plain "])
def test_text_offset_indexes_the_returned_text(text):
    with serving(scripted_decoder((text, 2, text, 2, "."), ("é😀" * 50,))) as server:
        choice = server.complete(logprobs=1).json()["choices"][0]
        offsets, authors = choice["logprobs"]["text_offset"], choice["logprobs"]["authors"]
        assert offsets == sorted(offsets)
        assert max(offsets) <= len(choice["text"])
        spans = zip(offsets, [*offsets[1:], len(choice["text"])], authors, strict=True)
        assert "".join(choice["text"][start:stop] for start, stop, _ in spans) == choice["text"]
        written = [start == stop for start, stop, author in zip(offsets, offsets[1:], authors, strict=False)
                   if author == "command"]
        assert all(written)
        assert len(written) == 6


def test_model_with_an_alias_or_a_call_ratio_is_listed_and_answers(server, client):
    server.model_router.champion.bias_curve = BiasCurve((CallSetting(-8.0), OWN, CallSetting(2.0)), (0.0, 0.0214, 0.04))
    names = [model.id for model in client.models.list()]
    assert names == ["relay-decoder", "relay-decoder@champion", "relay-decoder@0", "relay-decoder@0.021",
                     "relay-decoder@0.04"]
    for name in names:
        assert client.models.retrieve(name).id == name
        answer = client.chat.completions.create(model=name, messages=[USER])
        assert answer.choices[0].message.content == TEXT
    for name in ("relay-decoder@champion@0.02", "relay-decoder@0.03", "relay-decoder@0.040"):  # none is listed
        assert server.chat(model=name).status_code == 200
        assert (client.models.retrieve(name).id, client.models.retrieve(name).alias) == (name, "champion")
    for name in ("relay-decoder@0.5", "relay-decoder@other", "other@0.02", "relay-decoder@candidate@0.02"):
        answer = server.client.get(f"/v1/models/{name}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert server.client.get("/v1/models/").json()["data"] == server.client.get("/v1/models").json()["data"]
    assert server.chat(model="relay-decoder@0.5").json()["error"]["message"].startswith("call_ratio is 0.5")
    for name in ("relay-decoder@7", "relay-decoder@nan"):
        assert server.chat(model=name).json()["error"]["param"] == "model"
    twice = server.chat(model="relay-decoder@0.02", relay={"call_bias": 1.0})
    assert (twice.status_code, twice.json()["error"]["param"]) == (400, "model")
    assert server.chat(model="relay-decoder@other").status_code == 404


@pytest.mark.parametrize(("name", "shown"), [
    ("/srv/models/secret/teacher", "teacher"), ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B"),
    ("http://10.0.0.7:8001/v1", "remote"), ("", None)])
def test_models_tell_no_folder_and_no_address(server, name, shown):
    server.decoder.teacher_name = name
    assert {row["teacher"] for row in server.client.get("/v1/models").json()["data"]} == {shown}


def test_head_is_answered_as_get_without_a_body(server):
    for path in ("/health", "/ready", "/metrics", "/v1/models", "/"):
        head, got = server.client.head(path), server.client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
    refused, got = server.client.head("/v1/chat/completions"), server.client.get("/v1/chat/completions")
    assert refused.status_code == 405
    assert int(refused.headers["content-length"]) == len(got.content) + 1  # it says HEAD where GET is told of GET


@pytest.mark.parametrize(("name", "pack"), [
    ("gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress),
    ("gzip", lambda body: gzip.compress(body[:20]) + gzip.compress(b"") + gzip.compress(body[20:]) + b"\0" * 8)])
def test_packed_body_is_read(server, name, pack):
    body = pack(json.dumps({"messages": [USER]}).encode())
    answer = server.client.post("/v1/chat/completions", content=body,
                                headers={"content-type": "application/json", "content-encoding": name})
    assert answer.json()["choices"][0]["message"]["content"] == TEXT


@pytest.mark.parametrize(("body", "encoding", "status", "word"), [
    (b"{}", "br", 415, "content-encoding"), (b"no gzip", "gzip", 400, "not gzip"),
    (gzip.compress(b"x" * 9999)[:20], "gzip", 400, "breaks off"),
    (gzip.compress(b" " * 10_000_000), "gzip", 413, "larger"),
    (gzip.compress(b" " * 900_000) * 2, "gzip", 413, "larger"),
    (gzip.compress(b"{}") + b"rest", "gzip", 400, "not gzip"),
    (gzip.compress(b"{}") + gzip.compress(b"x" * 9999)[:20], "gzip", 400, "breaks off"),
    (zlib.compress(b"{}" * 99)[:12], "deflate", 400, "breaks off"), (b"no zlib", "deflate", 400, "not deflate")],
    ids=["unknown", "no gzip", "cut off", "large", "large in two", "with a rest", "second cut off", "deflate cut off",
         "no deflate"])  # bytes of gzip hold the time of day
def test_packed_body_that_cannot_be_read_is_refused(server, body, encoding, status, word):
    answer = server.client.post("/v1/chat/completions", content=body,
                                headers={"content-type": "application/json", "content-encoding": encoding})
    assert answer.status_code == status
    assert word in answer.json()["error"]["message"]


def test_browser_of_another_origin_may_send_what_openais_client_sends():
    origin = "https://app.example"
    asked = {"origin": origin, "access-control-request-method": "POST",
             "access-control-request-headers": "authorization,content-type,x-stainless-os,x-stainless-retry-count",
             "access-control-request-private-network": "true"}  # Chrome, from a public page to this machine
    with serving(limits=HttpLimits(origins=(origin,), body_bytes=1000)) as server:
        preflight = server.client.options("/v1/chat/completions", headers=asked)
        assert preflight.status_code == 200
        assert "x-stainless-os" in preflight.headers["access-control-allow-headers"]
        assert preflight.headers["access-control-allow-private-network"] == "true"
        for answer in (server.client.get("/v1/models", headers={"origin": origin}),
                       server.client.post("/v1/completions", content=b"x" * 2000, headers={"origin": origin})):
            assert answer.headers["access-control-allow-origin"] == origin
            assert "retry-after" in answer.headers["access-control-expose-headers"]


def test_cost_is_in_the_ledger_the_metrics_and_the_budget():
    prices = Prices(student=1.0, teacher=1000.0, teacher_read=100.0, teacher_cached=10.0)
    with serving(prices=prices, keys="eve:secret-e::0.0045") as server:
        server.client.headers["authorization"] = "Bearer secret-e"
        ledgers = [server.chat().json()["relay"]["ledger"] for _ in range(2)]
        first = ledgers[0]
        expected = (first["student_tokens"] + first["command_tokens"] + 1000 * first["teacher_tokens"]
                    + 100 * first["teacher_prefilled"] + 10 * first["teacher_cached"]) / 1e6
        assert first["cost"] == pytest.approx(expected)
        assert first["cost"] == pytest.approx(sum(first["cost_parts"].values()))
        assert first["currency"] == "USD"
        assert server.metric("relay_cost_total") == pytest.approx(sum(ledger["cost"] for ledger in ledgers))
        assert server.app.state.budgets.money() == {"eve": pytest.approx(sum(ledger["cost"] for ledger in ledgers))}
        assert ledgers[1]["teacher_tokens"] == 0


def test_without_prices_nothing_speaks_of_money(server):
    assert "cost" not in server.chat().json()["relay"]["ledger"]
