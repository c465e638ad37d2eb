"""Addresses of servers, as users write them."""

from __future__ import annotations

from urllib.parse import urlsplit

from relayllm.errors import ConfigError


def base_url(url: str) -> str:
    """The server's root: with or without `/v1`, a slash, or the whole route.

    Raises:
        ConfigError: not an http or https address.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"'{url}' is not the address of a server: give http://HOST:PORT or https://HOST")
    for route in ("/completions", "/chat", "/v1"):
        url = url.rstrip("/").removesuffix(route)
    return url.rstrip("/")
