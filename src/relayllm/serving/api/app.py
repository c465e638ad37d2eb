"""The application: routes, errors, limits, page and documentation put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import relayllm.serving.errors as errors
from relayllm.serving.api.invocations import table
from relayllm.serving.api.jobs import Jobs
from relayllm.serving.api.routes import api, watch
from relayllm.serving.auth import Keys
from relayllm.serving.metrics import Metrics
from relayllm.serving.models.router import ModelRouter
from relayllm.serving.page.routes import pages

Lifecycle = Callable[[], Awaitable[None]]
BEARER = HTTPBearer(auto_error=False, description="One of the server's RELAY_API_KEYS")
"""For the description only: `routes.who` looks at the header, and its 401 has OpenAI's form."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What the server reads, and from whom."""

    body_bytes: int = 1 << 20
    origins: tuple[str, ...] = ()
    """Pages elsewhere that may call the API from a browser."""


async def _nothing() -> None:
    pass


def create_app(model_router: ModelRouter, keys: Keys, metrics: Metrics, limits: HttpLimits, *,
               examples: Sequence[Any] = (),
               start: Lifecycle = _nothing, stop: Lifecycle = _nothing) -> FastAPI:
    """Everything behind one address. `start` and `stop` run with the event loop."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await start()
        yield
        await stop()

    app = FastAPI(title="RelayLLM", version="1", docs_url=None, redoc_url=None, lifespan=lifespan,
                  description="A small model writes the answer and calls a large one for a few tokens.")
    app.state.keys = keys
    errors.install(app)
    jobs = Jobs(model_router, keys, metrics)
    bearer = [Depends(BEARER)] if keys.required else []
    app.include_router(api(jobs), dependencies=bearer)
    app.include_router(table(jobs), dependencies=bearer)
    app.include_router(watch(model_router, metrics))
    app.include_router(pages(app, examples, keys_required=keys.required))
    if limits.origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(limits.origins), allow_methods=["GET", "POST"],
                           allow_headers=["authorization", "content-type"])
    app.add_middleware(BodyLimit, most=limits.body_bytes)
    app.add_middleware(Counting, metrics=metrics)
    return app


class BodyLimit:
    """Reads no body beyond a number of bytes, announced or not."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._most:
            await self._refusal().response()(scope, receive, send)
            return
        read = 0

        async def counting() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise HTTPException(413)
            return message

        await self._app(scope, counting, send)

    def _refusal(self) -> errors.ApiError:
        return errors.ApiError(413, f"the body is larger than the {self._most} bytes that this server reads")


class Counting:
    """Counts requests by route and status. Unknown paths count as one: a label per path would fill the memory."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status)).inc()
