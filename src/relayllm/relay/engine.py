"""What the scheduler needs of a model: continue token ids. No torch here; engines live in `relayllm.engines`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from relayllm.relay.trace import Top


@dataclass(slots=True)
class StepInput:
    """One row's part of a batch: read these tokens, then sample one."""

    row: int
    """The engine's handle of the row's cache."""
    token_ids: list[int]
    """Tokens to read, at least one; what was read before is in the cache."""
    allowed: int
    """Bits over the command columns; see `CommandTokens.columns`."""
    inside: bool = False
    """Inside a command: only command columns may be output."""
    temperature: float = 0.0
    top_p: float = 1.0
    call_bias: float = 0.0
    draw: float = 0.0
    """Uniform in [0, 1): the row's random number for this position."""
    top: int = 0
    """How many of the likeliest tokens to return besides."""
    only: tuple[int, ...] = ()
    """Ids of which one must be output; empty: any. For commands in text, see `relay.text_command`."""
    never: tuple[int, ...] = ()
    """Ids that may not be output."""
    score: int = 0
    """How many of the last `token_ids` to score; fewer than there are, since the token before tells."""
    probe: tuple[float, ...] = ()
    """A linear readout of the hidden state, the bias last: its value is told in place of the entropy."""


@dataclass(slots=True)
class StepOutput:
    """One token for each input of a batch, in their order."""

    tokens: list[int]
    logprobs: list[float]
    entropies: list[float] = field(default_factory=list)
    """Nats, or what the probe reads; empty unless asked for."""
    seconds: float = 0.0
    tops: list[Top] = field(default_factory=list)
    """The likeliest tokens with their log-probabilities; empty unless some input asks for them."""
    scores: list[tuple[float, ...]] = field(default_factory=list)
    """Log-probabilities of the tokens read, as many as each input asks to `score`, commands and what may never be
    said left out; empty unless some input asks."""


class Engine(Protocol):
    """A model in this process with a key-value cache per row."""

    name: str
    ends: frozenset[int]
    """Ids that end a text."""

    def open(self) -> int:
        """A handle for a new row."""
        ...

    def close(self, row: int) -> None:
        """Free a row's cache."""
        ...

    def length(self, row: int) -> int:
        """Tokens in a row's cache."""
        ...

    def reserve(self, rows: int, tokens: int) -> None:
        """Make room for so many rows of so many tokens."""
        ...

    def step(self, inputs: Sequence[StepInput], *, entropy: bool = False) -> StepOutput:
        """Read the new tokens of every row and sample one token for each."""
        ...
