"""One budget for several servers: two applications, and two `relay serve` processes on a Postgres that goes away."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from relayllm.engines.decoder import RelayDecoder
from relayllm.relay.prices import Prices
from relayllm.serving.budgets.shared import open_budgets
from tests.support.fakes_serving import serving
from tests.support.postgres import postgres
from tests.support.small_models import pair, save_pair
from tests.support.waiting import eventually

ASK = {"messages": [{"role": "user", "content": "There are pens in 12 boxes"}], "max_tokens": 20,
       "relay": {"call_bias": 12.0, "max_calls": 2}}


def spent(relays):
    """Teacher tokens of these answers."""
    return sum(relay["ledger"]["teacher_tokens"] for relay in relays)


def test_two_servers_grant_one_budget_and_no_more(tmp_path):
    environment = {"RELAY_BUDGETS_URL": f"sqlite:///{tmp_path}/budgets.db"}
    with ExitStack() as stack:
        servers = []
        for _ in range(2):
            budgets = open_budgets(environment)
            stack.callback(budgets.close)
            servers.append(stack.enter_context(serving(keys="ben:secret-b:50", budgets=budgets)))
            servers[-1].client.headers["authorization"] = "Bearer secret-b"
        with ThreadPoolExecutor(8) as pool:
            relays = list(pool.map(lambda turn: servers[turn % 2].chat().json()["relay"], range(24)))
    assert 46 <= spent(relays) <= 50  # an answer asks for four, twice two
    assert [relay["degraded_by"] for relay in relays if relay["degraded"]] == [["key_budget"]] * sum(
        relay["degraded"] for relay in relays)
    assert any(relay["degraded"] for relay in relays)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return save_pair(tmp_path_factory.mktemp("models"))


@contextmanager
def server(folders, **environment):
    """`relay serve` as a process: its address."""
    words = [sys.executable, "-m", "relayllm.cli", "serve", str(folders / "student"), "--teacher",
             str(folders / "teacher"), "--port", "0"]
    given = {**os.environ, "PYTHONPATH": "src", "OMP_NUM_THREADS": "1", "RELAY_ROOT": str(folders),
             "RELAY_API_KEYS": "ben:secret-b:200", **environment}
    with subprocess.Popen(words, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            line = next(line for line in running.stdout if line.startswith("serving"))
            with httpx.Client(base_url=line.split(" on ")[1].split()[0], timeout=60, trust_env=False,
                              headers={"authorization": "Bearer secret-b"}) as client:
                assert eventually(lambda: ready(client))
                yield client
        finally:
            running.terminate()


def ready(client):
    try:
        return client.get("/ready").status_code == 200
    except httpx.HTTPError:
        return False


def ask(client):
    """The relay field of one answer."""
    return client.post("/v1/chat/completions", json=ASK).json()["relay"]


@pytest.mark.slow
def test_two_processes_share_a_budget_in_postgres_and_answer_on_when_it_is_gone(folders):
    with postgres() as database, ExitStack() as stack:
        where = {"RELAY_BUDGETS_URL": database.url}
        one, other = (stack.enter_context(server(folders, **where)) for _ in range(2))
        relays = [ask(one), ask(other)]
        assert spent(relays) > 0
        database.stop()
        relays += [ask(client) for client in (one, other) * 4]  # what is at hand, then the student alone
        assert relays[-1]["degraded_by"] == ["key_budget"]
        assert eventually(lambda: "relay_budgets_up 0.0" in one.get("/metrics").text)
        database.start()
        assert eventually(lambda: "relay_budgets_up 1.0" in one.get("/metrics").text)
        with ThreadPoolExecutor(4) as pool:
            relays += pool.map(lambda turn: ask((one, other)[turn % 2]), range(32))
        assert spent(relays) <= 200
        assert relays[-1]["degraded_by"] == ["key_budget"]


@pytest.mark.slow
def test_server_with_a_database_that_is_down_starts_and_answers(folders):
    with server(folders, RELAY_BUDGETS_URL="postgresql://relay:s@127.0.0.1:9/budgets") as client:
        relay = ask(client)
        assert (spent([relay]), relay["degraded_by"]) == (0, ["key_budget"])


@pytest.fixture(scope="module")
def eve():
    """A server with a real student, prices, and a key with a budget of money alone."""
    prices = Prices(student=1.0, student_read=10.0, teacher=1000.0, student_second=1.0)
    with serving(RelayDecoder.from_models(*pair()), prices=prices, keys="eve:secret-e::5") as running:
        running.client.headers["authorization"] = "Bearer secret-e"
        yield running


@pytest.mark.parametrize(("path", "body"), [
    ("/v1/chat/completions", {**ASK, "relay": {"teacher": False}}),
    ("/v1/completions", {"prompt": [10, 11, 12], "max_tokens": 4, "relay": {"teacher": False}}),
    ("/v1/completions", {"prompt": [10, 11, 12], "max_tokens": 0, "echo": True, "logprobs": 1}),
    ("/v1/completions", {"prompt": [10, 11, 12], "max_tokens": 4, "echo": True, "logprobs": 1}),
    ("/v1/responses", {"input": "How many?", "max_output_tokens": 4, "relay": {"teacher": False}})])
def test_budget_of_money_pays_for_whatever_an_answer_cost(eve, path, body):
    before, metric = eve.app.state.budgets.money().get("eve", 0.0), eve.metric("relay_cost_total")
    ledger = eve.client.post(path, json=body).json()["relay"]["ledger"]
    assert ledger["cost"] > 0
    assert eve.app.state.budgets.money()["eve"] - before == pytest.approx(ledger["cost"])
    assert eve.metric("relay_cost_total") - metric == pytest.approx(ledger["cost"])
    assert eve.metric('relay_key_spent{key="eve",unit="money"}') == pytest.approx(before + ledger["cost"])


def test_budget_of_money_pays_for_a_table_answered_without_the_teacher(eve):
    before, metric = eve.app.state.budgets.money().get("eve", 0.0), eve.metric("relay_cost_total")
    answer = eve.client.post("/invocations", json={"inputs": [{"prompt": "How many?"}], "params": {
        "teacher_enabled": False, "max_new_tokens": 4}})
    assert answer.status_code == 200
    spent_now = eve.app.state.budgets.money()["eve"] - before
    assert spent_now > 0
    assert spent_now == pytest.approx(eve.metric("relay_cost_total") - metric)


def test_scored_prompt_is_in_the_ledger_as_read(eve):
    only = {"prompt": [10, 11, 12], "echo": True, "max_tokens": 0, "logprobs": 1}
    assert eve.complete(**only).json()["relay"]["ledger"]["student_prefilled"] == 3
    both = eve.complete(**only | {"max_tokens": 4, "relay": {"teacher": False}}).json()["relay"]["ledger"]
    assert both["student_prefilled"] == 6
