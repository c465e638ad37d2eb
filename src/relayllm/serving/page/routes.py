"""What a browser sees: the page, its examples, the API's description. Nothing is fetched from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse

from relayllm.relay.bias_curve import OWN
from relayllm.serving.errors import ApiError, Json
from relayllm.serving.models.router import Deployment, ModelRouter

FOLDER = Path(__file__).parent
VENDOR = FOLDER / "vendor"
SCRIPTS = ("start.js", "render.js", "clients.js", "answer.js", "page.js")
LIBRARIES = ("markdown-it/markdown-it.umd.min.js", "katex/katex.min.js")
SERVED = frozenset({*LIBRARIES, *(f"katex/fonts/{path.name}" for path in (VENDOR / "katex" / "fonts").glob("*.woff2"))})
"""Vendored files that a browser may fetch; the style sheet of KaTeX is in the page itself."""
KINDS = {".js": "text/javascript", ".woff2": "font/woff2"}


def pages(app: FastAPI, examples: Sequence[dict[str, str]], model_router: ModelRouter, *,
          keys_required: bool) -> APIRouter:
    """The routes of the page."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> HTMLResponse:
        return _html("index.html", ("vendor/katex/katex.min.css", "page.css"), SCRIPTS, {"keys": keys_required},
                     LIBRARIES)

    @router.get("/vendor/{name:path}")
    async def vendored(name: str) -> FileResponse:
        if name not in SERVED:
            raise ApiError(404, "there is no such file of the page")
        return FileResponse(VENDOR / name, media_type=KINDS[Path(name).suffix],
                            headers={"cache-control": "max-age=86400", "x-content-type-options": "nosniff"})

    @router.get("/facts")
    async def facts(request: Request) -> Json:
        app.state.keys.who(request.headers.get("authorization"))
        return facts_of(model_router.champion)

    @router.get("/examples")
    async def questions() -> list[dict[str, str]]:
        return list(examples)

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return _html("docs.html", ("docs.css",), ("docs.js",), {"keys": keys_required})

    return router


def facts_of(deployment: Deployment | None) -> Json:
    """What the page tells of the model: its name, whether a teacher helps it, the call ratios that can be asked for,
    its own among them, and what the teacher alone would cost."""
    if deployment is None:
        return {"model": None, "helped": True, "call_ratios": [], "own_call_ratio": None, "alone": None}
    curve = deployment.bias_curve
    own = None if curve is None else dict(zip(curve.settings, curve.call_ratios, strict=True)).get(OWN)
    others = [ratio for ratio in deployment.call_ratios if own is None or ratio != float(f"{own:.2g}")]
    return {"model": deployment.name, "helped": deployment.decoder.teacher is not None,
            "call_ratios": sorted([*others, *([] if own is None else [own])]), "own_call_ratio": own,
            "alone": _alone(deployment)}


def _alone(deployment: Deployment) -> Json | None:
    """The prices of a teacher that writes all of an answer: a pool's last one; None where they are not known."""
    name = deployment.last_teacher
    prices = deployment.prices.of_teacher(name or "")
    asked = {one: getattr(prices, one) for one in ("teacher", "teacher_read", "teacher_second")}
    return None if name is None or not any(asked.values()) else {"name": name, **asked}


def _html(name: str, styles: tuple[str, ...], scripts: tuple[str, ...], settings: Json,
          libraries: tuple[str, ...] = ()) -> HTMLResponse:
    text, policy = _assembled(name, styles, scripts, json.dumps(settings, sort_keys=True), libraries)
    return HTMLResponse(text, headers={"content-security-policy": policy, "x-content-type-options": "nosniff",
                                       "referrer-policy": "no-referrer", "cache-control": "no-cache"})


@cache
def _assembled(name: str, styles: tuple[str, ...], scripts: tuple[str, ...], settings: str,
               libraries: tuple[str, ...]) -> tuple[str, str]:
    """One document, and the policy that lets nothing else run: every script is allowed by its hash alone."""
    style = "\n".join(_read(part) for part in styles).replace("url(fonts/", "url(vendor/katex/fonts/")
    code = "\n".join((f'"use strict";\nconst SETTINGS = {settings};', *(_read(part) for part in scripts)))
    hashes = {library: _hash(_read(f"vendor/{library}")) for library in libraries}
    tags = "\n".join(f'<script src="vendor/{library}" integrity="{known}"></script>'
                     for library, known in hashes.items())
    text = _read(name).replace("/*STYLE*/", style).replace("<!--VENDORED-->", tags).replace("/*SCRIPT*/", code)
    allowed = " ".join(f"'{known}'" for known in (*hashes.values(), _hash(code)))
    policy = (f"default-src 'none'; style-src '{_hash(style)}'; script-src {allowed}; connect-src 'self'; "
              "font-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
    return text, policy


def _read(name: str) -> str:
    return (FOLDER / name).read_bytes().decode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
