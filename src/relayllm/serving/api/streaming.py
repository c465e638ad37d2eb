"""Server-sent events: how a stream is sent, and what happens when its client goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TypeVar

import orjson
from fastapi import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from relayllm.serving.errors import ApiError, Json, unforeseen

T = TypeVar("T")

SILENCE_SECONDS = 15.0
"""After so much silence a comment is sent, so that no proxy takes the connection for dead."""
SILENCE = b": still at work\n\n"
DONE = b"data: [DONE]\n\n"
GONE = 499
"""The client hung up before its answer; nobody reads this status but the metrics."""


def sse(value: Json) -> bytes:
    """One server-sent event with this value as JSON."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def named_event(name: str, value: Json) -> bytes:
    """One server-sent event with a name."""
    return b"event: " + name.encode() + b"\n" + sse(value)


async def disconnected(receive: Receive) -> None:
    """Return when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_disconnected(request: Request, work: Awaitable[T]) -> T | None:
    """Wait for `work`, or for the client to hang up: its result, or None where nobody waits for it any more."""
    task, end = asyncio.ensure_future(work), asyncio.ensure_future(disconnected(request.receive))
    try:
        await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, end):
            one.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await one


async def whole(request: Request, work: Awaitable[T], render: Callable[[T], bytes | str], close: Callable[[], None],
                headers: Mapping[str, str]) -> Response:
    """What comes of `work` as one JSON answer; `close` is called when it is there, or when nobody waits for it."""
    try:
        found = await unless_disconnected(request, work)
        if found is None:
            return Response(status_code=GONE)
        return Response(render(found), media_type="application/json", headers=dict(headers))
    finally:
        close()


class EventStream(Response):
    """Sends what an iterator yields until it ends or the client goes; `close` is called either way."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncIterator[bytes], close: Callable[[], None],
                 headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no", **(headers or {})})
        del self.headers["content-length"]
        self._chunks, self._close = chunks, close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        sending, end = asyncio.ensure_future(self._send_all(send)), asyncio.ensure_future(disconnected(receive))
        try:
            await asyncio.wait({sending, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._close()
            for task in (sending, end):
                task.cancel()
            await asyncio.gather(sending, end, return_exceptions=True)

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async for chunk in self._chunks:
                await send(_body(chunk, more=True))
        except Exception as error:  # the status is sent already: an event says it
            told = error if isinstance(error, ApiError) else unforeseen(error, "a stream")
            await send(_body(sse(told.body()), more=True))
        await send(_body(b"", more=False))


def _body(chunk: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}
