"""What happens to every request before a route sees it: counted, bounded, unpacked, its path and method read.

And to what no route foresaw."""

from __future__ import annotations

import gzip
import re
import secrets
import zlib
from collections.abc import Callable
from io import BytesIO

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relayllm.serving.errors import ASKED, ApiError, unforeseen
from relayllm.serving.metrics import Metrics

REQUEST_ID = b"x-request-id"
FIT_FOR_A_LOG = re.compile(rb"[!-~]{1,128}")
DOCS = "/docs/"
"""Is redirected: a browser resolves the page's links against its address."""


def gunzipped(body: bytes, most: int) -> bytes:
    """The beginning of what was packed, of all members that follow each other.

    Raises:
        EOFError: the body breaks off.
        OSError, zlib.error: it is no gzip.
    """
    with gzip.GzipFile(fileobj=BytesIO(body)) as file:
        return file.read(most)


def inflated(body: bytes, most: int) -> bytes:
    """The beginning of what was packed.

    Raises:
        EOFError: the body breaks off.
        zlib.error: it is no zlib.
    """
    unpacker = zlib.decompressobj()
    plain = unpacker.decompress(body, most)
    if len(plain) < most and not unpacker.eof:
        raise EOFError
    return plain


PACKED: dict[bytes, Callable[[bytes, int], bytes]] = {b"gzip": gunzipped, b"x-gzip": gunzipped, b"deflate": inflated}
"""Content encodings, and what reads so many bytes of them."""


class RequestId:
    """Gives every answer the header `x-request-id`, as OpenAI does: the caller's own if it fits a log, or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(REQUEST_ID, b"")
        name = given if FIT_FOR_A_LOG.fullmatch(given) else f"req_{secrets.token_hex(16)}".encode()

        async def naming(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (REQUEST_ID, name)]}
            await send(message)

        await self._app(scope, receive, naming)


class HeadAsGet:
    """Answers HEAD as GET without a body; the server leaves the body out by itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET", ASKED: "HEAD"}
        await self._app(scope, receive, send)


class PlainPath:
    """Reads a path without the slashes that come of joining addresses: `//v1/chat/completions/` is the chat's route.

    A redirect would not do: curl follows none by itself, and behind a proxy that ends TLS it would name http.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] == "http" and scope["path"] != DOCS:
            scope = {**scope, "path": re.sub("/{2,}", "/", scope["path"]).rstrip("/") or "/"}
        await self._app(scope, receive, send)


class BodyLimit:
    """Reads no body beyond a number of bytes, announced or not, packed or not; hands it on unpacked."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"0")
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

        encoding = headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding in (b"identity", b""):
            await self._app(scope, counting, send)
            return
        try:
            body = self._unpacked(await _whole(counting), encoding)
        except (ApiError, HTTPException) as error:
            refusal = error if isinstance(error, ApiError) else self._refusal()
            await refusal.response()(scope, receive, send)
            return
        scope["headers"] = _of_length(scope, len(body))  # in place: the route is noted in it for who counts
        await self._app(scope, _replay(body, receive), send)

    def _unpacked(self, body: bytes, encoding: bytes) -> bytes:
        if encoding not in PACKED:
            raise ApiError(415, "the body's content-encoding is none of gzip and deflate: send one of them, or none")
        try:
            plain = PACKED[encoding](body, self._most + 1)
        except EOFError as error:
            raise ApiError(400, f"the body breaks off: its {encoding.decode()} has no end") from error
        except (OSError, zlib.error) as error:
            raise ApiError(400, f"the body is not {encoding.decode()}, as its content-encoding says") from error
        if len(plain) > self._most:
            raise self._refusal()
        return plain

    def _refusal(self) -> ApiError:
        return ApiError(413, f"the body is larger than the {self._most} bytes that this server reads")


class Unforeseen:
    """Answers an error that nobody foresaw, where no answer has begun: the connection goes on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run as an ASGI application."""
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception as error:
            if begun or scope["type"] != "http":
                raise
            await unforeseen(error, f"{scope['method']} {scope['path']}").response()(scope, receive, send)


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


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body as one message, then what the connection says."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


def _of_length(scope: Scope, length: int) -> list[tuple[bytes, bytes]]:
    kept = [(name, value) for name, value in scope["headers"] if name not in (b"content-encoding", b"content-length")]
    return [*kept, (b"content-length", str(length).encode())]
