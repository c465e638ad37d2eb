"""What a request asks of the grammar, by vLLM's `vllm_xargs`. No torch here: the front end checks it, too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WHOLE = ("calls_left", "remaining", "max_call_tokens")
BIAS = "call_bias"
MOST_CALL_TOKENS = 999
"""n has three digits at most: a command is known by the last four tokens."""


@dataclass(frozen=True, slots=True)
class GrammarRequest:
    """The budget of one segment of the student."""

    calls_left: int
    """0 bans `<call>`."""
    remaining: int
    """Completion tokens that may still be written when the segment begins."""
    max_call_tokens: int
    """The largest n that may be written."""
    call_bias: float = 0.0
    """Added to the logit of `<call>` where a command may begin; finite."""

    @classmethod
    def of(cls, extra_args: Mapping[str, Any] | None) -> GrammarRequest | None:
        """From a request's extra arguments; None when it has none of ours.

        Raises:
            ValueError: an argument is missing, no whole number, or out of its range; vLLM answers 400.
        """
        given = extra_args or {}
        if not any(name in given for name in (*WHOLE, BIAS)):
            return None
        for name in WHOLE:
            if not isinstance(given.get(name), int) or isinstance(given[name], bool) or given[name] < 0:
                raise ValueError(f"vllm_xargs.{name} is {given.get(name)!r}: a relay student's request needs "
                                 f"{', '.join(WHOLE)}, whole numbers from 0 on")
        if given["max_call_tokens"] > MOST_CALL_TOKENS:
            raise ValueError(f"vllm_xargs.max_call_tokens is {given['max_call_tokens']}: {MOST_CALL_TOKENS} at most")
        bias = given.get(BIAS, 0.0)
        if not isinstance(bias, int | float) or not math.isfinite(bias):
            raise ValueError(f"vllm_xargs.{BIAS} is {bias!r}: give a finite number; calls_left 0 bans calls")
        return cls(*(given[name] for name in WHOLE), float(bias))
