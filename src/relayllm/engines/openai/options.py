"""How patient the client of a remote model is: read from the environment, since it is about where things run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

from relayllm.errors import ConfigError


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """Patience and limits. None of it changes what a healthy server answers."""

    connect_seconds: float = 5.0
    stall_seconds: float = 30.0
    """Longest silence before the first token and between two."""
    token_seconds: float = 1.0
    """A call of n tokens may take `stall_seconds + n * token_seconds` in all, retries included."""
    attempts: int = 3
    """Requests per call at most."""
    backoff_seconds: float = 0.25
    """Mean pause before the second attempt; doubles with each, jittered."""
    backoff_limit: float = 5.0
    breaker_failures: int = 5
    """Failed calls in a row that open the circuit."""
    breaker_seconds: float = 10.0
    """Pause before a call is let through to see whether the server is back."""
    connections: int = 128
    """Calls in flight at most; further ones wait their turn."""

    @classmethod
    def from_environment(cls, role: Literal["teacher", "student"] = "teacher") -> RemoteOptions:
        """Defaults, with every field overridable: `RELAY_TEACHER_STALL_SECONDS`, `RELAY_STUDENT_STALL_SECONDS` ....

        Raises:
            ConfigError: a variable is not a positive number.
        """
        defaults, given = cls(), dict[str, Any]()
        for name in cls.__dataclass_fields__:
            text = os.environ.get(variable := f"RELAY_{role}_{name}".upper())
            if text:
                given[name] = _positive(variable, text, whole=isinstance(getattr(defaults, name), int))
        return cls(**given)

    def pause_before(self, attempt: int, after: float, jitter: float) -> float:
        """Seconds before another attempt: what the server asked for, or doubling with jitter (0..1: half to 1.5)."""
        own = self.backoff_seconds * 2 ** (attempt - 1) * (0.5 + jitter)
        return min(self.backoff_limit, max(own, after))


def _positive(variable: str, text: str, whole: bool) -> float | int:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise ConfigError(f"{variable} is '{text}': give a positive {'whole number' if whole else 'number'}")
    return value
