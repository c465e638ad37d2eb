"""Calls of a remote teacher that writes one known text."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from relayllm.engines.openai.calls import CallStream
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.relay.protocols import CallRequest
from tests.support.plain_relay import EOS

QUICK = RemoteOptions(attempts=3, backoff_seconds=0.01, breaker_failures=3, breaker_seconds=0.3)
"""Quick to try again; a server that is slow because the machine is busy has not fallen silent."""
TEXT = "two and two are four"


def writes(text: str, prompt: str = "Q: ", end: bool = False) -> Callable[[list[int]], list[int]]:
    """A model that continues `prompt` with `text`, from wherever the ids it is given stop."""
    whole = [*text.encode(), *([EOS] if end else [])]
    return lambda ids: whole[len(ids) - len(prompt):]


WRITE = writes(TEXT)


def request(n: int = 8, prompt: str = "Q: ", **options: Any) -> CallRequest:
    """A call for n tokens."""
    return CallRequest(tuple(prompt.encode()), n, **options)


def finish(teacher: OpenAITeacher, stream: CallStream, seconds: float = 60.0) -> str:
    """Wait for the end of a call; what it brought, as text."""
    ids, until = [], time.monotonic() + seconds
    while True:
        done = stream.done
        ids += stream.take()
        if done:
            return bytes(ids).decode()
        assert time.monotonic() < until, "the call never ended"
        teacher.wait(0.05)
