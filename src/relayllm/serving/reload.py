"""Follow the registry: a moved champion alias is picked up, a candidate comes and goes, without a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from relayllm.errors import RelayError
from relayllm.serving.fleet import CANDIDATE, CHAMPION, Fleet
from relayllm.serving.metrics import Metrics
from relayllm.serving.models import Found, Loaded

LOG = logging.getLogger("relayllm.serving")


class Follower:
    """Looks at the aliases every few seconds. What cannot be found or loaded leaves the served model as it is."""

    def __init__(self, fleet: Fleet, metrics: Metrics, sources: dict[str, str], *, seconds: float,
                 find: Callable[[str], Found], load: Callable[[Found], Loaded]) -> None:
        self._fleet, self._metrics, self._sources, self._seconds = fleet, metrics, sources, seconds
        self._find, self._load = find, load
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="follower")
        self._task: asyncio.Task[None] | None = None
        self._failed: dict[str, str] = {}

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._follow())

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def look(self) -> None:
        """Look once at every alias."""
        for alias, source in self._sources.items():
            try:
                await self._update(alias, source)
            except RelayError as error:
                self._complain(alias, str(error))
            except Exception as error:  # a loader's own error must not end the following
                self._complain(alias, f"{type(error).__name__}: {error}")
            else:
                self._failed.pop(alias, None)

    async def _follow(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._seconds)

    async def _update(self, alias: str, source: str) -> None:
        found = await self._away(lambda: self._find(source))
        now = getattr(self._fleet, alias)
        champion = self._fleet.champion
        if alias == CANDIDATE and champion is not None and champion.version == found.version:
            self._fleet.retire(CANDIDATE)
            return
        if now is not None and now.version == found.version:
            return
        loaded = await self._away(lambda: self._load(found))
        self._fleet.add(champion.name if champion else found.name, found.version, alias, loaded.decoder,
                        loaded.defaults, asyncio.get_running_loop(), loaded.dial)
        self._metrics.reloads.labels("done").inc()
        LOG.warning("%s is now version %s", alias, found.version)

    async def _away(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _complain(self, alias: str, why: str) -> None:
        if alias == CANDIDATE and self._fleet.candidate is not None:
            self._fleet.retire(CANDIDATE)  # it was promoted or withdrawn
        if self._failed.get(alias) != why:
            self._failed[alias] = why
            if alias == CHAMPION:
                self._metrics.reloads.labels("failed").inc()
            LOG.warning("%s stays as it is: %s", alias, why)
