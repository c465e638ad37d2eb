"""`/invocations`: the same bodies and the same answers as MLflow's scoring server, and a stream besides."""

from __future__ import annotations

import json
import random

import mlflow.pyfunc
import pytest
from mlflow.pyfunc.scoring_server import invocations

from relayllm.relay.prices import Prices
from relayllm.serving.api.limits import HttpLimits
from relayllm.serving.models.loading import FoundModel, load
from tests.support.fakes_serving import scripted_decoder, serving
from tests.support.hostile_requests import STRANGE
from tests.support.real_packages import QUESTIONS

TABLE = [{"prompt": question} for question in QUESTIONS]
SPLIT = {"columns": ["prompt"], "data": [[question] for question in QUESTIONS]}


@pytest.fixture(scope="module")
def server(package):
    loaded = load(FoundModel("relay-decoder", "1", package))
    with serving(loaded.decoder, defaults=loaded.defaults) as running:
        yield running


@pytest.fixture(scope="module")
def pyfunc(package):
    return mlflow.pyfunc.load_model(str(package))


@pytest.mark.parametrize("body", [
    {"inputs": TABLE}, {"dataframe_split": SPLIT}, {"dataframe_records": TABLE}, {"instances": TABLE},
    {"inputs": TABLE, "params": {"temperature": 1.0, "seed": 7, "max_new_tokens": 12}},
    {"inputs": TABLE[:1], "params": {"teacher_enabled": False}}, {"inputs": TABLE, "params": {"call_bias": 9.0}}],
    ids=["inputs", "split", "records", "instances", "sampled", "alone", "call_bias"])
def test_invocations_answer_what_mlflows_server_answers(server, pyfunc, body):
    expected = invocations(json.dumps(body), "application/json", pyfunc, pyfunc.metadata.get_input_schema())
    answer = server.client.post("/invocations", json=body)
    assert (answer.status_code, expected.status) == (200, 200)
    assert answer.json() == json.loads(expected.response)


@pytest.mark.parametrize("where", ["field", "parameter"])
def test_invocations_stream_tells_the_pyfuncs_tokens_and_its_row(server, pyfunc, where):
    more = {"stream": True} if where == "field" else {"params": {"stream": True, "call_bias": 9.0}}
    params = {"call_bias": 9.0} if where == "parameter" else {}
    lines = [line.removeprefix("data: ") for line in server.client.post(
        "/invocations", json={"inputs": TABLE[:1], **more}).text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    *events, last = map(json.loads, lines[:-1])
    assert events == list(pyfunc.predict_stream(TABLE[:1], params=params))
    whole = server.client.post("/invocations", json={"inputs": TABLE[:1], "params": params}).json()
    assert last == whole


@pytest.mark.parametrize(("body", "word"), [
    ({}, "exactly one"), ({"inputs": TABLE, "instances": TABLE}, "exactly one"),
    ({"inputs": [{"question": "x"}]}, "prompt"), ({"inputs": [{"prompt": ""}]}, "prompt 0"),
    ({"inputs": TABLE, "params": {"nonsense": 1}}, "nonsense"),
    ({"inputs": TABLE, "params": {"temperature": -1.0}}, "temperature"),
    ({"inputs": TABLE, "params": {"max_new_tokens": 10_000}}, "shorten the prompt"),
    ({"inputs": TABLE, "stream": True}, "one for each"), ({"inputs": TABLE * 50}, "split it")])
def test_invocations_faults_are_named(server, body, word):
    answer = server.client.post("/invocations", json=body)
    assert answer.status_code == 400
    assert word in answer.json()["error"]["message"]


@pytest.mark.parametrize("nothing", [
    {"stream": None, "params": None, "instances": None}, {"params": {"temperature": None, "stream": None}},
    {"params": {"max_new_tokens": None, "seed": 0.0}}, {"params": {"max_calls": 4.0}, "session_id": None}])
def test_invocations_null_is_as_absent_and_a_whole_number_is_one(server, nothing):
    plain = server.client.post("/invocations", json={"inputs": TABLE, "params": {"max_calls": 4}}).json()
    assert server.client.post("/invocations", json={"inputs": TABLE, **nothing}).json() == plain


@pytest.mark.parametrize("table", [
    {"inputs": 3}, {"instances": [{"a": 1}, {"b": 2}]}, {"inputs": [[1], [2, 3]]}, {"dataframe_records": [[3, 4]]},
    {"dataframe_split": {"columns": ["prompt"], "data": [["a", "b"]]}}, {"dataframe_split": {"data": 3}},
    {"inputs": TABLE, "params": {"max_new_tokens": "x"}}, {"inputs": TABLE, "params": {"temperature": [1]}}])
def test_invocations_faults_are_told_without_names_of_python_pandas_and_mlflow(server, table):
    error = server.client.post("/invocations", json=table).json()["error"]
    assert error["param"] in {*table, "params"}
    assert not any(word in error["message"] for word in ("Error", "schema", "DataFrame", "class", "DataType", "array"))


def test_invocations_unknown_field_is_refused_or_ignored_and_named():
    asked = {"inputs": TABLE[:1], "session_id": "s"}
    with serving() as strict:
        answer = strict.client.post("/invocations", json=asked)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "session_id")
    with serving(limits=HttpLimits(ignore_unknown=True)) as server:
        for more in ({}, {"stream": True}):
            answer = server.client.post("/invocations", json={**asked, **more})
            assert (answer.status_code, answer.headers["x-relay-ignored-fields"]) == (200, "session_id")
        assert server.client.post("/invocations", json={**asked, "params": {"nonsense": 1}}).status_code == 400


def test_invocations_row_tells_the_cost_the_teachers_and_who_withheld_help():
    with serving(prices=Prices(teacher=1_000_000.0), keys="ben:secret-b:2") as server:
        server.client.headers["authorization"] = "Bearer secret-b"
        rows = server.client.post("/invocations", json={"inputs": TABLE[:1] * 2}).json()["predictions"]
    assert [row["cost"] for row in rows] == [row["teacher_tokens"] for row in rows]
    assert {name for row in rows for name in row["teachers"]} <= {"scripted", ""}
    assert any(row["degraded_by"] == ["key_budget"] and row["degraded"] for row in rows)
    with serving(scripted_decoder(teacher_fault=lambda: RuntimeError("down"))) as server:
        row, = server.client.post("/invocations", json={"inputs": TABLE[:1]}).json()["predictions"]
    assert (row["degraded"], row["degraded_by"], row["cost"]) == (True, ["teacher"], None)


@pytest.mark.parametrize(("prompt", "asked", "param"), [("x", 500, "params"), ("pens " * 400, 1, "inputs")])
def test_invocations_name_what_is_too_long_for_the_context(prompt, asked, param):
    with serving(scripted_decoder(context=100)) as server:
        answer = server.client.post("/invocations", json={"inputs": [{"prompt": prompt}],
                                                          "params": {"max_new_tokens": asked}})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "context_length_exceeded", param)


def test_invocations_keep_to_a_keys_budget(package):
    loaded = load(FoundModel("relay-decoder", "1", package))
    with serving(loaded.decoder, defaults=loaded.defaults, keys="ben:secret-b:3") as server:
        assert server.client.post("/invocations", json={"inputs": TABLE}).status_code == 401
        server.client.headers["authorization"] = "Bearer secret-b"
        rows = server.client.post("/invocations", json={"inputs": TABLE, "params": {"call_bias": 9.0}}).json()
        assert sum(row["teacher_tokens"] for row in rows["predictions"]) <= 3
        assert server.app.state.budgets.spent()["ben"] == sum(row["teacher_tokens"] for row in rows["predictions"])


def test_hostile_tables_are_refused_or_answered(server):
    chance = random.Random(0)
    seen = []
    for _ in range(300):
        body = {"params": {"max_new_tokens": 4}, chance.choice(["inputs", "dataframe_split", "instances"]):
                chance.choice([[{"prompt": chance.choice(STRANGE)}], {"columns": ["prompt"], "data": [[chance.choice(
                    STRANGE)]]}, chance.choice(STRANGE), {"prompt": chance.choice(STRANGE)}])}
        raw = json.dumps(body).encode()
        seen.append(server.client.post("/invocations", content=raw, headers={"content-type": "application/json"}))
    assert {answer.status_code for answer in seen} <= {200, 400, 413}
    assert {answer.status_code for answer in seen} >= {200, 400}
