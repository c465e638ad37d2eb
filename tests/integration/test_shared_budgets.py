"""Budgets that servers share in a database: SQLite here, Postgres where it is marked slow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import create_engine, text

from relayllm.errors import ConfigError
from relayllm.serving.auth import Key
from relayllm.serving.budgets.local import Budgets
from relayllm.serving.budgets.shared import SharedBudgets, open_budgets
from relayllm.serving.budgets.table import BudgetTable
from tests.support.postgres import postgres
from tests.support.waiting import eventually

BEN = Key("ben", "s", 100)
EVE = Key("eve", "s", None, 0.5)
PATIENT = {"patience": 20.0, "rest": 0.05}


@pytest.fixture(scope="module")
def server():
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def url(request, tmp_path):
    """The address of a database without the table of another test."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/budgets.db"
    running = request.getfixturevalue("server")
    with database(running.url) as connection:
        connection.execute(text("DROP TABLE IF EXISTS relay_budgets"))
    return running.url


@contextmanager
def database(url):
    """A connection of nobody's."""
    engine = create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def used(url):
    """What all servers have set aside or spent."""
    with database(url) as connection:
        return connection.execute(text("SELECT sum(used) FROM relay_budgets")).scalar_one()


@contextmanager
def sharing(url, count, **more):
    """So many servers' budgets on one database."""
    with ExitStack() as stack:
        servers = [SharedBudgets(BudgetTable(url), lambda: 0.0, **(PATIENT | more)) for _ in range(count)]
        for one in servers:
            stack.callback(one.close)
        yield servers


def test_what_one_server_took_is_gone_for_the_other(url):
    with sharing(url, 2) as (one, other):
        assert one.reserve(BEN, 70).tokens == 70
        assert other.reserve(BEN, 70).tokens == 30
        assert not other.has(BEN)


def test_servers_that_take_at_once_grant_the_budget_and_no_more(url):
    with sharing(url, 3) as servers, ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda turn: servers[turn % 3].reserve(BEN, 3).tokens, range(120)))
        assert 90 <= sum(taken) <= used(url) == 100


def test_server_that_closes_leaves_what_it_did_not_spend_to_the_others(url):
    with sharing(url, 2) as (one, other):
        taken = one.reserve(BEN, 90)
        one.release(BEN, 60, taken)
        one.close()
        assert other.reserve(BEN, 90).tokens == 70


def test_what_a_server_does_not_spend_for_a_while_is_there_for_the_others(url):
    with sharing(url, 2, idle=0.05) as (one, other):
        one.release(BEN, 60, one.reserve(BEN, 90))
        assert eventually(lambda: other.reserve(BEN, 70) and other.spent() == {"ben": 70})


def test_money_that_an_answer_cost_besides_is_paid_by_all(url):
    with sharing(url, 2) as (one, other):
        assert one.reserve(EVE, 2, 0.1).tokens == 2
        one.book(EVE, 0.15)
        assert eventually(lambda: used(url) == pytest.approx(0.35))
        assert other.reserve(EVE, 9, 0.1).tokens == 1
        other.book(EVE, 0.4)
        assert eventually(lambda: used(url) == pytest.approx(0.85))
        assert one.reserve(EVE, 1, 0.1).tokens == 0
        assert not one.has(EVE)


def test_money_without_a_price_of_tokens_lasts_until_it_is_spent(url):
    with sharing(url, 1) as (one,):
        assert one.reserve(EVE, 9).tokens == 9
        one.book(EVE, 0.6)
        assert eventually(lambda: one.reserve(EVE, 9).tokens == 0)


def test_each_day_has_its_budget(url):
    now = [0.0]
    budgets = SharedBudgets(BudgetTable(url), lambda: now[0], **PATIENT)
    taken = budgets.reserve(BEN, 100)
    now[0] = 86400.0
    assert budgets.reserve(BEN, 60).tokens == 60
    budgets.release(BEN, 100, taken)
    assert budgets.reserve(BEN, 60).tokens == 40
    budgets.close()


def test_key_without_a_budget_asks_no_database(tmp_path):
    with sharing(f"sqlite:///{tmp_path}/no/such/folder/budgets.db", 1) as (one,):
        assert one.reserve(Key("ann", "s"), 9).tokens == 9


def test_database_that_was_never_there_costs_the_help_until_it_is(tmp_path):
    with sharing(f"sqlite:///{tmp_path}/later/budgets.db", 1) as (one,):
        assert one.reserve(BEN, 9).tokens == 0
        assert [value for *_, value in one.gauges()] == [False]
        (tmp_path / "later").mkdir()
        assert eventually(lambda: one.reserve(BEN, 9).tokens == 9)
        assert [value for *_, value in one.gauges()] == [True]


@pytest.mark.slow
def test_crashed_database_leaves_what_is_at_hand_and_takes_up_again():
    key = Key("ben", "s", 1000)
    with postgres() as server, sharing(server.url, 2) as (one, other):
        assert one.reserve(key, 10).tokens == 10  # 50 are set aside
        server.stop()
        assert [one.reserve(key, 30).tokens, one.reserve(key, 30).tokens, other.reserve(key, 30).tokens] == [30, 10, 0]
        server.start()
        assert eventually(lambda: other.reserve(key, 900).tokens == 900)
        other.close()  # what it has at hand besides
        assert eventually(lambda: one.reserve(key, 900) and one.spent()["ben"] + other.spent()["ben"] == 1000)


@pytest.mark.slow
def test_database_that_hangs_keeps_nobody_waiting_for_long():
    with postgres() as server, sharing(server.url, 1, patience=0.2) as (one,):
        assert eventually(lambda: one.reserve(BEN, 5).tokens == 5)
        server.freeze()
        try:
            assert one.reserve(BEN, 50).tokens < 50
            assert one.reserve(BEN, 50).tokens == 0
        finally:
            server.freeze(False)
        assert eventually(lambda: one.reserve(BEN, 40).tokens == 40)


def test_environment_without_an_address_keeps_budgets_in_the_process():
    assert type(open_budgets({})) is Budgets
    assert type(open_budgets({"RELAY_BUDGETS_URL": " "})) is Budgets


@pytest.mark.parametrize("address", ["nonsense", "mysql://a:secret@b/c", "sqlite://", "postgresql://u:secret@h",
                                     "redis://:secret@h/0"])
def test_address_that_is_no_database_for_budgets_is_refused_without_its_password(address):
    with pytest.raises(ConfigError, match="RELAY_BUDGETS_URL") as error:
        open_budgets({"RELAY_BUDGETS_URL": address})
    assert "secret" not in str(error.value)
