"""The application: routes, errors, limits, page and documentation put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.security import HTTPBearer

import relayllm.serving.errors as errors
from relayllm.serving.api.invocations import table
from relayllm.serving.api.jobs import Jobs
from relayllm.serving.api.limits import HttpLimits
from relayllm.serving.api.middleware import BodyLimit, Counting, HeadAsGet, PlainPath, RequestId, Unforeseen
from relayllm.serving.api.routes import IGNORED_HEADER, api, watch
from relayllm.serving.auth import Keys
from relayllm.serving.budgets.local import Budgets
from relayllm.serving.metrics import Metrics
from relayllm.serving.models.router import ModelRouter
from relayllm.serving.page.routes import pages

Lifecycle = Callable[[], Awaitable[None]]
BEARER = HTTPBearer(auto_error=False, description="One of the server's RELAY_API_KEYS")
"""For the description only: `routes.who` looks at the header, and its 401 has OpenAI's form."""
EXPOSED = ["retry-after", "x-request-id", IGNORED_HEADER]
"""Headers that a page elsewhere may read."""


async def _nothing() -> None:
    pass


def create_app(model_router: ModelRouter, keys: Keys, budgets: Budgets, metrics: Metrics, limits: HttpLimits, *,
               examples: Sequence[dict[str, str]] = (),
               start: Lifecycle = _nothing, stop: Lifecycle = _nothing) -> FastAPI:
    """The FastAPI application: API, page and metrics behind one address. `start` and `stop` run with the event loop."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await start()
        yield
        await stop()

    app = FastAPI(title="RelayLLM", version="1", docs_url=None, redoc_url=None, lifespan=lifespan,
                  description="A small model writes the answer and calls a large one for a few tokens.")
    app.state.keys, app.state.budgets = keys, budgets
    errors.install(app)
    jobs = Jobs(model_router, budgets, metrics, limits)
    bearer = [Depends(BEARER)] if keys.required else []
    app.include_router(api(jobs), dependencies=bearer)
    app.include_router(table(jobs), dependencies=bearer)
    app.include_router(watch(model_router, metrics))
    app.include_router(pages(app, examples, model_router, keys_required=keys.required))
    app.add_middleware(BodyLimit, most=limits.body_bytes)
    app.add_middleware(Unforeseen)
    app.add_middleware(Counting, metrics=metrics)
    app.add_middleware(HeadAsGet)
    app.add_middleware(PlainPath)
    app.add_middleware(RequestId)
    if limits.origins:  # outermost: a refusal must have the headers, too, or a page cannot read it
        app.add_middleware(CORSMiddleware, allow_origins=list(limits.origins), allow_methods=["GET", "HEAD", "POST"],
                           allow_headers=["*"], expose_headers=EXPOSED, allow_private_network=True)
    return app
