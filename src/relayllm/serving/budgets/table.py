"""The table in which servers share budgets: what all of them have taken, by day, key and unit.

`RELAY_BUDGETS_URL` is its address: `postgresql://USER:PASSWORD@HOST:5432/DATABASE`, or `sqlite:////FOLDER/budgets.db`
for servers of one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, create_engine, inspect, text
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from relayllm.errors import ConfigError
from relayllm.serving.budgets.local import TOKENS, VARIABLE, DailyBudget

SHARE = 20
"""A server sets aside what is wanted, or one part of so many of what is left, when that is more."""
SECONDS = 5
"""A connection or a statement that takes longer fails."""
EXAMPLES = "postgresql://USER:PASSWORD@HOST:5432/DATABASE, or sqlite:////FOLDER/budgets.db for servers of one machine"

SCHEMA = MetaData()
Table("relay_budgets", SCHEMA, Column("day", Integer, primary_key=True), Column("name", String(255), primary_key=True),
      Column("unit", String(8), primary_key=True), Column("used", Float(53), nullable=False))
# The write comes first: it locks the row in Postgres and the file in SQLite, until the transaction ends.
GIVE_BACK = text("""INSERT INTO relay_budgets (day, name, unit, used) VALUES (:day, :name, :unit, -:amount)
    ON CONFLICT (day, name, unit) DO UPDATE SET used = relay_budgets.used - :amount RETURNING used""")
SET_ASIDE = text("UPDATE relay_budgets SET used = used + :amount WHERE day = :day AND name = :name AND unit = :unit")


@dataclass(frozen=True, slots=True)
class Visit:
    """A transaction on one row of the table."""

    connection: Connection

    def exchange(self, budget: DailyBudget, back: float, wanted: float) -> float:
        """Give back what was set aside (below 0: more was spent), set aside anew, and say how much that is."""
        row = {"day": budget.day, "name": budget.name, "unit": budget.unit}
        used = self.connection.execute(GIVE_BACK, {**row, "amount": back}).scalar_one()
        amount = portion(budget.limit - used, wanted, whole=budget.unit == TOKENS) if wanted else 0.0
        if amount:
            self.connection.execute(SET_ASIDE, {**row, "amount": amount})
        return amount


class BudgetTable:
    """A database that keeps budgets; made without a connection, so that it may be down.

    Raises:
        ConfigError: it is no address of a database that can do it, or its driver is missing.
    """

    def __init__(self, address: str) -> None:
        url = _url(address)
        self.where = url.render_as_string(hide_password=True)
        try:
            self._engine = create_engine(url, pool_pre_ping=True, pool_size=1, connect_args=_connecting(url))
        except ModuleNotFoundError as error:
            raise ConfigError(f"{VARIABLE} names {url.drivername}, whose driver is not installed ({error}): "
                              "pip install 'relayllm[postgres]'") from error
        self._made = False

    @contextmanager
    def visit(self) -> Iterator[Visit]:
        """A connection that answers, in a transaction that ends with the block."""
        self._make()
        with self._engine.begin() as connection:
            yield Visit(connection)

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    def _make(self) -> None:
        if self._made:
            return
        try:
            SCHEMA.create_all(self._engine)
        except DBAPIError:
            if not inspect(self._engine).has_table("relay_budgets"):  # it is, when another server was faster
                raise
        self._made = True


def portion(left: float, wanted: float, *, whole: bool) -> float:
    """What a server sets aside at once: few visits while there is plenty, and no more than is wanted near the end."""
    return max(0.0, min(left, max(wanted, left // SHARE if whole else left / SHARE)))


def _url(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise ConfigError(f"{VARIABLE} is no address of a database: give {EXAMPLES}") from error
    kind = url.get_backend_name()
    if kind not in _CONNECTING or not url.database:
        raise ConfigError(f"{VARIABLE} is {url.render_as_string(hide_password=True)}: give {EXAMPLES}")
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _connecting(url: URL) -> dict[str, Any]:
    return _CONNECTING[url.get_backend_name()]()


_CONNECTING: dict[str, Callable[[], dict[str, Any]]] = {
    "sqlite": lambda: {"timeout": SECONDS},
    "postgresql": lambda: {"connect_timeout": SECONDS, "tcp_user_timeout": 1000 * SECONDS, "options":
                           f"-c statement_timeout={SECONDS}s -c application_name=relayllm"}}
