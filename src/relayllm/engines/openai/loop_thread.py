"""An event loop in a thread of its own: requests run there while the scheduler's thread does other things."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread of its own, which runs coroutines until it is closed. Thread-safe."""

    def __init__(self, name: str) -> None:
        self._closing = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the loop runs: after `close` it takes no coroutine any more."""
        return self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start a coroutine and return at once."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self, *last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel all that runs, do the last things in the loop, and end the thread, once or again."""
        with self._closing:
            if not self.alive:
                return
            self.run(_end(last)).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


def wait_for_news(news: threading.Event, seconds: float) -> bool:
    """Sleep until some request has news, at most so long; what comes later is news again."""
    came = news.wait(seconds)
    news.clear()
    return came


async def _end(last: tuple[Callable[[], Coroutine[Any, Any, None]], ...]) -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for one in last:
        await one()
