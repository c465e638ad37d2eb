"""The OpenAI-compatible routes, and those of health, readiness and metrics."""

from __future__ import annotations

import re
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from relayllm.errors import ConfigError
from relayllm.packaging.folder import setting_for
from relayllm.serving.api.completions import answer, begin, chunks, name_and_ratio
from relayllm.serving.api.jobs import Jobs
from relayllm.serving.api.limits import HttpLimits
from relayllm.serving.api.protocol import AnyRequest, ChatRequest, CompletionRequest
from relayllm.serving.api.response_objects import ResponseWriter
from relayllm.serving.api.response_request import ResponseRequest
from relayllm.serving.api.schemas.answers import (
    ChatCompletion,
    ChatCompletionChunk,
    ResponseObject,
    TextCompletion,
    TextCompletionChunk,
)
from relayllm.serving.api.schemas.examples import answered
from relayllm.serving.api.schemas.server import ErrorAnswer, Health, ModelEntry, ModelList, Readiness
from relayllm.serving.api.streaming import EventStream, whole
from relayllm.serving.api.unsupported import CODE, Body, Unsupported
from relayllm.serving.auth import Key
from relayllm.serving.errors import SHOWN_FAULTS, ApiError, Json, bad_request, unavailable
from relayllm.serving.metrics import Metrics
from relayllm.serving.models.router import Deployment, ModelRouter

IGNORED_HEADER = "x-relay-ignored-fields"
MOST_NAMED = 50
"""Unknown fields that the header names at most."""
FAULT_TEXTS: dict[int | str, str] = {
    400: "A field is wrong or unknown, or asks for something that cannot be", 401: "No valid API key",
    404: "No such model", 413: "The body is too large", 415: "The body's content-encoding is unknown",
    429: "The queue is full; see Retry-After", 503: "No model is ready, or the decoder failed",
    "default": "Any other fault"}
FAULTS: dict[int | str, Json] = {status: {"description": text, "model": ErrorAnswer}
                                           for status, text in FAULT_TEXTS.items()}


async def who(request: Request) -> Key:
    """Whose key came with a request. A coroutine: a plain function would go through a thread and back."""
    return request.app.state.keys.who(request.headers.get("authorization"))  # type: ignore[no-any-return]


CallerKey = Annotated[Key, Depends(who)]


def api(jobs: Jobs) -> APIRouter:
    """The OpenAI-compatible routes."""
    router = APIRouter(prefix="/v1")
    model_router = jobs.model_router

    chats = {200: answered("chat.completion", ChatCompletion, ChatCompletionChunk), **FAULTS}
    texts = {200: answered("text_completion", TextCompletion, TextCompletionChunk), **FAULTS}
    objects = {200: {"description": "The answer; with stream, OpenAI's events", "model": ResponseObject}, **FAULTS}

    @router.post("/chat/completions", summary="Answer a conversation", responses=chats, response_model=None)
    async def chat(body: ChatRequest, request: Request, key: CallerKey) -> Response:
        return await _answer(jobs, request, body, key)

    @router.post("/completions", summary="Continue a text", responses=texts, response_model=None)
    async def completions(body: CompletionRequest, request: Request, key: CallerKey) -> Response:
        return await _answer(jobs, request, body, key)

    @router.post("/responses", summary="Answer a conversation, in OpenAI's newer envelope; nothing is stored",
                 responses=objects, response_model=None)
    async def responses(body: ResponseRequest, request: Request, key: CallerKey) -> Response:
        return await _respond(jobs, request, body, key)

    @router.get("/models", summary="What is served", responses={200: {"model": ModelList}, 401: FAULTS[401]})
    async def models(key: CallerKey) -> Json:
        return {"object": "list", "data": _models(model_router)}

    @router.get("/models/{model:path}", summary="One model",
                responses={200: {"model": ModelEntry}, **{status: FAULTS[status] for status in (401, 404, "default")}})
    async def model(model: str, key: CallerKey) -> Json:
        for entry in _models(model_router):
            if entry["id"] == model:
                return entry
        return _entry(model, _unlisted(model_router, model))

    return router


def watch(model_router: ModelRouter, metrics: Metrics) -> APIRouter:
    """Health, readiness and metrics."""
    router = APIRouter()

    @router.get("/health", summary="Whether the process is well",
                responses={200: {"model": Health}, 503: FAULTS[503]})
    async def health() -> Json:
        if model_router.champion is not None and not model_router.champion.engine.alive and not model_router.draining:
            raise unavailable("the engine has stopped: restart the server")
        return {"status": "ok"}

    @router.get("/ready", summary="Whether requests are answered",
                responses={200: {"model": Readiness}, 503: FAULTS[503]})
    async def ready() -> Json:
        if not model_router.ready:
            raise unavailable("no model is ready", seconds=5)
        return {"status": "ready", "models": [_readiness(deployment) for deployment in model_router.models]}

    @router.get("/metrics", summary="For Prometheus", response_class=Response,
                responses={200: {"content": {"text/plain": {}}}})
    async def prometheus() -> Response:
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    return router


async def _answer(jobs: Jobs, request: Request, body: AnyRequest, key: Key) -> Response:
    headers = ignored_fields(body, jobs.limits)
    job = await begin(jobs, body, key)
    if body.stream:
        return EventStream(chunks(job, body), job.end, headers)
    return await whole(request, answer(job, body), orjson.dumps, job.end, headers)


async def _respond(jobs: Jobs, request: Request, body: ResponseRequest, key: Key) -> Response:
    headers = ignored_fields(body, jobs.limits)
    job = await begin(jobs, body.chat, key)
    writer = ResponseWriter(job, body)
    if body.stream:
        return EventStream(writer.events(), job.end, headers)
    return await whole(request, job.traces(), lambda traces: orjson.dumps(writer.whole(traces)), job.end, headers)


def ignored_fields(body: Body, limits: HttpLimits) -> dict[str, str]:
    """The header that names unknown fields and sampling hints, where the server ignores them.

    Raises:
        ApiError: there are some, and it does not.
    """
    unknown = [re.sub(r"[^!-~]", "?", name[:80]) for name in body.unknown_fields()]
    hints = body.hints if isinstance(body, Unsupported) else []
    if (unknown or hints) and not limits.ignore_unknown:
        faults = [f"{name}: {name} is not supported by this server" for name in hints]
        faults += [f"{name}: this server knows no such field" for name in unknown]
        raise bad_request("; ".join(faults[:SHOWN_FAULTS]), [*hints, *unknown][0], CODE if hints else "invalid_value")
    return {IGNORED_HEADER: ", ".join([*hints, *unknown][:MOST_NAMED])} if unknown or hints else {}


def _models(model_router: ModelRouter) -> list[Json]:
    """The names that a request may give: the model, its aliases, and the call ratios that were measured for it."""
    if model_router.champion is None:
        return []
    champion = model_router.champion
    rows = [(champion.name, champion)]
    rows += [(f"{deployment.name}@{deployment.alias}", deployment) for deployment in model_router.models]
    rows += [(f"{champion.name}@{ratio:g}", champion) for ratio in champion.call_ratios]
    return [_entry(name, deployment) for name, deployment in rows]


def _entry(name: str, deployment: Deployment) -> Json:
    return {"id": name, "object": "model", "created": deployment.created, "owned_by": "relayllm",
            "version": deployment.version, "alias": deployment.alias,
            "max_model_len": deployment.decoder.context_length or None, "teacher": deployment.teacher_label}


def _unlisted(model_router: ModelRouter, model: str) -> Deployment:
    """Who answers requests for a name that is not listed: with a call ratio between those that were measured.

    Raises:
        ApiError: nobody does.
    """
    name, ratio = name_and_ratio(model[:200])
    deployment = model_router.pick(name)
    if model_router.champion is not None and "@" not in name:  # not the canary, which is drawn for each request
        deployment = model_router.champion
    try:
        if ratio is not None:
            setting_for(deployment.bias_curve, ratio)
    except ConfigError as error:
        raise ApiError(404, str(error), code="model_not_found", param="model") from error
    return deployment


def _readiness(deployment: Deployment) -> Json:
    return {"name": deployment.name, "version": deployment.version, "alias": deployment.alias,
            "withdrawn": deployment.withdrawn, "waiting": deployment.engine.waiting,
            "running": deployment.engine.running}
