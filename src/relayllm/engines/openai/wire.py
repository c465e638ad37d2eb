"""What an OpenAI-compatible server sends, read: events of a stream, usage, refusals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from relayllm.relay.protocols import Usage
from relayllm.relay.trace import Top

FILTERED = 422
"""What a content filter counts as that strikes in the middle of an answer: this request's fault alone."""


@dataclass(frozen=True, slots=True)
class StreamChunk:
    """What one event of the stream adds."""

    token_ids: tuple[int, ...] | None
    """None: the server gives text only."""
    text: str
    finish_reason: str | None
    """`stop`, `length`, or None while it goes on."""
    logprobs: tuple[tuple[float, Top], ...] = ()
    """Per token its log-probability and the likeliest tokens, where they were asked for."""


class TransientError(Exception):
    """The request failed in a way that may pass."""

    def __init__(self, fact: str, after: float = 0.0, *, lost: bool = False) -> None:
        super().__init__(fact)
        self.after = after
        """Seconds the server asked us to wait."""
        self.lost = lost
        """The connection was refused or broke: who answers there next may be another server."""


class PermanentError(Exception):
    """The server understood and said no: trying again would not help."""

    def __init__(self, fact: str, status: int = 0) -> None:
        super().__init__(fact)
        self.status = status
        """HTTP status; 0 when the answer itself was not what was asked for."""

    @property
    def about_request(self) -> bool:
        """Whether this request was at fault, not the server as a whole."""
        return self.status in (400, 413, 422)


def read_choice(choice: dict[str, Any]) -> StreamChunk:
    """One choice of an event.

    Raises:
        ValueError: it is none.
        PermanentError: a content filter struck.
        TransientError: the server gave up.
    """
    ids, text = choice.get("token_ids"), choice.get("text") or (choice.get("delta") or {}).get("content") or ""
    if not isinstance(text, str):
        raise ValueError("text must be text")
    if ids is not None and not all(isinstance(token, int) and token >= 0 for token in ids):
        raise ValueError("token_ids must be whole numbers")
    reason = choice.get("finish_reason")
    if reason == "content_filter":
        raise PermanentError("the server's content filter ended the answer", FILTERED)
    if reason not in (None, "stop", "length"):
        raise TransientError(f"the server gave up with finish_reason {reason!r}")
    return StreamChunk(None if ids is None else tuple(ids), text, reason, _logprobs(choice.get("logprobs")))


def _logprobs(given: dict[str, Any] | None) -> tuple[tuple[float, Top], ...]:
    """vLLM's, asked for with `return_tokens_as_token_ids`: tokens are named `token_id:N`."""
    if not given:
        return ()
    tops = given.get("top_logprobs") or [None] * len(given["token_logprobs"])
    return tuple((float(logprob), tuple((int(name.removeprefix("token_id:")), float(value))
                                        for name, value in (top or {}).items()))
                 for logprob, top in zip(given["token_logprobs"], tops, strict=True))


def read_usage(usage: dict[str, Any] | None) -> list[Usage]:
    """The usage of an event, where it has one."""
    if not usage:
        return []
    details = usage.get("prompt_tokens_details") or {}
    return [Usage(int(usage.get("prompt_tokens") or 0), int(details.get("cached_tokens") or 0),
                  int(usage.get("completion_tokens") or 0))]


def error_message(content: bytes) -> str:
    """The error's text in OpenAI's shape, or what there is."""
    text = content.decode("utf-8", errors="replace")
    try:
        error = json.loads(text).get("error", text)
        text = error.get("message", str(error)) if isinstance(error, dict) else str(error)
    except (ValueError, AttributeError):
        pass
    return " ".join(text.split())[:300] or "nothing"
