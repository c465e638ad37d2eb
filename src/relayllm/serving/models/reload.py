"""Follow the registry: a moved champion alias is picked up, a candidate comes and goes, without a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from relayllm.errors import NoSuchVersion, RelayError
from relayllm.serving.metrics import Metrics
from relayllm.serving.models.loading import FoundModel, LoadedModel
from relayllm.serving.models.router import CANDIDATE, CHAMPION, ModelRouter

T = TypeVar("T")

LOG = logging.getLogger("relayllm.serving")


class AliasWatcher:
    """Looks at the aliases every few seconds. What cannot be found or loaded leaves the served model as it is.

    An alias that the registry has no more ends the candidate. The champion answers on, marked as withdrawn: an alias
    that is deleted by mistake must not take the service down, and who wants silence stops the server.
    """

    def __init__(self, model_router: ModelRouter, metrics: Metrics, sources: dict[str, str], *, seconds: float,
                 find: Callable[[str], FoundModel], load: Callable[[FoundModel], LoadedModel]) -> None:
        self._model_router, self._metrics, self._sources, self._seconds = model_router, metrics, sources, seconds
        self._find, self._load = find, load
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="watcher")
        self._task: asyncio.Task[None] | None = None
        self._failed: dict[str, str] = {}

    def start(self) -> None:
        """Begin to watch, in the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._follow())

    def stop(self) -> None:
        """Stop watching: no alias is looked at from here on."""
        if self._task is not None:
            self._task.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def look(self) -> None:
        """Compare every alias with what is served, once, and act on what has changed."""
        for alias, source in self._sources.items():
            try:
                await self._update(alias, source)
            except NoSuchVersion as error:
                self._withdraw(alias, str(error))
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
        now = getattr(self._model_router, alias)
        champion = self._model_router.champion
        if alias == CANDIDATE and champion is not None and champion.version == found.version:
            self._model_router.retire(CANDIDATE)
            return
        if now is not None and now.version == found.version:
            now.withdrawn = False
            return
        loaded = await self._away(lambda: self._load(found))
        self._model_router.add(alias, loaded, asyncio.get_running_loop(), name=champion.name if champion else "")
        self._metrics.reloads.labels("done").inc()
        LOG.warning("%s is now version %s", alias, found.version)

    async def _away(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _withdraw(self, alias: str, why: str) -> None:
        deployment = getattr(self._model_router, alias)
        if alias == CANDIDATE and deployment is not None:
            self._model_router.retire(CANDIDATE)
            LOG.warning("candidate version %s was withdrawn and gets no more requests", deployment.version)
        elif deployment is not None and not deployment.withdrawn:
            deployment.withdrawn = True
            LOG.warning("%s version %s was withdrawn and answers on until another is promoted: %s", alias,
                        deployment.version, why)

    def _complain(self, alias: str, why: str) -> None:
        if alias == CANDIDATE and self._model_router.candidate is not None:
            self._model_router.retire(CANDIDATE)  # the alias is another version's now
        if self._failed.get(alias) != why:
            self._failed[alias] = why
            if alias == CHAMPION:
                self._metrics.reloads.labels("failed").inc()
            LOG.warning("%s stays as it is: %s", alias, why)
