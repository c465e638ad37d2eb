"""What a client is told when something is wrong: OpenAI's error format, whatever went wrong."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from relayllm.errors import fault_in_words

Json = dict[str, Any]
"""An object of JSON."""
LOG = logging.getLogger("relayllm.serving")
SHOWN_FAULTS = 5
ASKED = "relay.method"
"""In a request's scope: the method that the client named, where another one is read in its place."""
UNSUPPORTED = "unsupported_parameter"
HALF_A_CHARACTER = "holds half a character (an unpaired surrogate), which is no text"
KINDS = {"string_type": "a text", "list_type": "a list", "int_type": "a whole number",
         "int_from_float": "a whole number",
         "float_type": "a number", "finite_number": "a finite number", "bool_type": "true or false",
         "dict_type": "an object", "model_type": "an object", "model_attributes_type": "an object"}
"""What a field should have been, by pydantic's names of the faults."""
PLACE = re.compile(r"https?://\S+?(?=[^\w/]*(?:\s|$))|(?<![\w/.])(?:/[\w.@+-]+){2,}")
"""The address of a server, or the path of a file."""


class ApiError(Exception):
    """A request that is answered with an error; `type` and `code` are OpenAI's words."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None,
                 headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = dict(headers or {})

    def body(self) -> Json:
        """The JSON of the answer."""
        return error_body(self.status, self.message, self.code, self.param)

    def response(self) -> JSONResponse:
        """The whole answer."""
        return JSONResponse(self.body(), self.status, headers=self.headers)


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """An error 400: the request asks for something that cannot be."""
    return ApiError(400, message, param=param, code=code)


def unavailable(message: str, seconds: int = 1) -> ApiError:
    """An error 503: not now; the client may come back."""
    return ApiError(503, PLACE.sub(_shown, message), code="unavailable", headers={"Retry-After": str(seconds)})


def _shown(place: re.Match[str]) -> str:
    """What a client may know of the machines behind the server: of a path its last part, of an address nothing."""
    return "<address>" if place[0].startswith("http") else Path(place[0]).name


def decoder_failed(error: BaseException) -> ApiError:
    """The decoder broke off an answer, or never began it: told to the log whole, to the client without places."""
    LOG.error("the decoder failed on a request: %s", error)
    return unavailable(f"the decoder failed on this request: {error}".encode("utf-8", "replace").decode())


def unforeseen(error: Exception, request: str) -> ApiError:
    """A bug met by a request: told to the log whole, to the client by its name."""
    LOG.error("%s failed", request, exc_info=error)
    return unavailable(f"the server failed on this request ({type(error).__name__}); its log says more")


def error_body(status: int, message: str, code: str | None = None, param: str | None = None) -> Json:
    """OpenAI's error object."""
    types = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    kind = types.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def install(app: FastAPI) -> None:
    """Give every error of the application this format."""

    @app.exception_handler(ApiError)
    async def _api(request: Request, error: ApiError) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = error.errors()
        param, message = describe(faults, error.body)
        code = UNSUPPORTED if any(fault.get("type") == UNSUPPORTED for fault in faults) else "invalid_value"
        return bad_request(message, param, code).response()

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        message = _http_message(request, error)
        return JSONResponse(error_body(error.status_code, message), error.status_code, headers=error.headers)


def describe(faults: Sequence[Mapping[str, Any]], body: object = None) -> tuple[str | None, str]:
    """The first wrong field, and all of them in words. What the client sent is not repeated: it may be anything."""
    wrong: dict[str, list[Mapping[str, Any]]] = {}
    for fault in faults:
        wrong.setdefault(_place(fault, body), []).append(fault)
    for place in [place for place in wrong if any(deeper.startswith(f"{place}.") for deeper in wrong)]:
        if all(fault.get("type") in KINDS for fault in wrong[place]):  # of a union, the alternative that was meant
            del wrong[place]
    lines = [f"{place}: {said}" if place else said
             for place, its in wrong.items() for said in [_in_words(its)]]
    more = f" (and {len(lines) - SHOWN_FAULTS} more)" if len(lines) > SHOWN_FAULTS else ""
    text = "; ".join(lines[:SHOWN_FAULTS]) + more
    return next(iter(wrong)) or None, text.encode("utf-8", "replace").decode()


def _place(fault: Mapping[str, Any], body: Any) -> str:
    """The path to the wrong field as the client sent it; names of validators and of union members are no part of it."""
    if fault.get("type") == "json_invalid":
        return ""
    path, here = [], body
    parts = [part for part in fault.get("loc", ()) if part != "body"]
    for place, part in enumerate(parts):
        missing = fault.get("type") == "missing" and place == len(parts) - 1
        if isinstance(here, dict) and (part in here or missing):
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        elif not missing:
            continue
        path.append(str(part)[:40])
    if fault.get("type") == "conflict":
        path.append(fault["ctx"]["field"])
    return ".".join(path).encode("utf-8", "replace").decode()


def _in_words(faults: Sequence[Mapping[str, Any]]) -> str:
    """One sentence for what is wrong with a field: of the alternatives of a union, those that it might have been."""
    kinds = list(dict.fromkeys(KINDS[str(fault["type"])] for fault in faults if fault.get("type") in KINDS))
    others = [fault for fault in faults if fault.get("type") not in KINDS]
    if others:
        return _sentence(others[0])
    if tuple(faults[0].get("loc", ())) == ("body",):
        return "the body must be a JSON object, sent with 'Content-Type: application/json'"
    return f"must be {' or '.join(kinds)}"


def _sentence(fault: Mapping[str, Any]) -> str:
    kind = fault.get("type")
    if kind == "extra_forbidden":
        return "this server knows no such field"
    if kind == "json_invalid":
        return f"the body is not JSON: {(fault.get('ctx') or {}).get('error', '')} at {fault['loc'][-1]}"
    if kind == "missing":
        whole = tuple(fault.get("loc", ())) == ("body",)
        return "the body must be a JSON object, sent with 'Content-Type: application/json'" if whole else "is missing"
    if kind == "string_unicode":
        return HALF_A_CHARACTER
    return fault_in_words(str(fault.get("msg", "")))


def _http_message(request: Request, error: HTTPException) -> str:
    path = request.url.path[:200]
    if error.status_code == 404:
        return f"there is nothing at {path}: /docs lists what there is"
    if error.status_code == 405:
        return f"{request.scope.get(ASKED, request.method)[:20]} is not for {path}: /docs lists what is"
    if error.status_code == 413:
        return "the request's body is larger than this server reads"
    if error.status_code == 400:
        return "the body cannot be read: JSON in UTF-8, not nested deeply, is expected"
    return str(error.detail or HTTPStatus(error.status_code).phrase)
