"""`/invocations`: the same bodies and the same answers as MLflow's scoring server, and a stream besides."""

from __future__ import annotations

import json
import random

import mlflow.pyfunc
import pytest
from mlflow.pyfunc.scoring_server import invocations

from relayllm.serving.models.loading import FoundModel, load
from tests.support.fakes_serving import serving
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
