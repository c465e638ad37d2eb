"""Whether somebody answers at the address of a store, without MLflow's minutes of trying."""

from __future__ import annotations

import socket

import pytest

from relayllm.processes import free_port
from relayllm.tracking.reach import unreachable_store


@pytest.mark.parametrize("kind", ["http", "postgresql", "postgresql+psycopg", "mysql", "mssql"])
def test_store_behind_a_port_where_nobody_listens_is_told_with_the_reason(kind):
    assert unreachable_store(f"{kind}://me:secret@127.0.0.1:{free_port()}/mlflow") == "Connection refused"


def test_store_behind_a_port_where_somebody_listens_is_there():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert unreachable_store(f"postgresql://me@127.0.0.1:{listening.getsockname()[1]}/mlflow") == ""


@pytest.mark.parametrize("uri", ["sqlite:////nowhere/mlflow.db", "databricks", "databricks://profile",
                                 "postgresql:///mlflow?host=/run/postgresql"])
def test_store_that_has_no_port_of_its_own_is_not_looked_for(uri):
    assert unreachable_store(uri) == ""


def test_store_with_a_port_that_is_none_is_told():
    assert "Port out of range" in unreachable_store("postgresql://db:99999/mlflow")
