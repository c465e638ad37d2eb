"""What a browser sees: the page, its examples, the API's description. Nothing is fetched from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse

FOLDER = Path(__file__).parent


def pages(app: FastAPI, examples: Sequence[Any], *, keys_required: bool) -> APIRouter:
    """The routes of the page."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> HTMLResponse:
        return _html("index.html", "page.css", "page.js", {"keys": keys_required})

    @router.get("/examples")
    async def questions() -> list[Any]:
        return list(examples)

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return _html("docs.html", "docs.css", "docs.js", {"keys": keys_required})

    return router


def _html(name: str, css: str, script: str, settings: dict[str, Any]) -> HTMLResponse:
    text, policy = _assembled(name, css, script, json.dumps(settings, sort_keys=True))
    return HTMLResponse(text, headers={"content-security-policy": policy, "x-content-type-options": "nosniff",
                                       "referrer-policy": "no-referrer", "cache-control": "no-cache"})


@cache
def _assembled(name: str, css: str, script: str, settings: str) -> tuple[str, str]:
    """One self-contained document of three files, and the policy that lets nothing else run."""
    style = (FOLDER / css).read_text(encoding="utf-8")
    code = f"const SETTINGS = {settings};\n" + (FOLDER / script).read_text(encoding="utf-8")
    text = (FOLDER / name).read_text(encoding="utf-8")
    text = text.replace("/*STYLE*/", style).replace("/*SCRIPT*/", code)
    policy = (f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(code)}'; connect-src 'self'; "
              "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
    return text, policy


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
