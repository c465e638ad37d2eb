"""What the server reads, from whom, and how strict it is with requests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """The server's answer to requests that are too large, come from elsewhere, or ask for what it does not know."""

    body_bytes: int = 1 << 20
    """Of a body at most, unpacked if it comes packed."""
    origins: tuple[str, ...] = ()
    """Pages elsewhere that may call the API from a browser."""
    ignore_unknown: bool = False
    """Unknown fields are ignored and named in a header of the answer; else the request is refused."""
    cap_tokens: bool = False
    """An answer that would be longer than the context has room for is shortened; else the request is refused."""
