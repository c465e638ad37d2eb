"""Which weights a student's server has, told by how its greedy answers begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

TOKENS = 12
"""Tokens of each answer that are compared."""
MOST_GAP = 0.1
"""Mean difference of log-probabilities (nats) up to which rounding is taken for the reason."""
PROBES = ("The sum of 12 and 30 is", "Question: There are 3 boxes with 4 pens each. How many pens are there?\nAnswer:",
          "Once upon a time there was a", "def area(width, height):\n    return")
"""What is continued where no answers of the weights are known."""


@dataclass(frozen=True, slots=True)
class WeightProbe:
    """A prompt that a server is asked to tell its weights by."""

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...] = ()
    """What the right weights are known to answer, calls included; empty: not known."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a server's answer to one question begins: at most `TOKENS` tokens, each with its log-probability."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...] = ()
    """Empty where the server's are not those after the grammar's mask."""


def begins_alike(found: Sequence[int], packed: Sequence[int], call: int) -> bool:
    """Whether both begin with the same tokens, as far as the packed answer is the student's alone."""
    alone = packed[:packed.index(call)] if call in packed else packed
    size = min(len(found), len(alone))
    return tuple(found[:size]) == tuple(alone[:size])


def mostly(same: Sequence[bool]) -> bool:
    """Whether at least half hold: rounding differs between machines, engines and types, so that not all must."""
    return 2 * sum(same) >= len(same)


def same_weights(one: Sequence[Beginning], other: Sequence[Beginning]) -> bool:
    """Whether two servers have the same weights by their answers to the same questions, rounding aside.

    Most answers begin alike, and the log-probabilities differ little in the mean as far as the tokens are the same:
    weights a few batches of training apart often choose the same tokens, with another certainty.
    """
    pairs = list(zip(one, other, strict=True))
    gaps = [gap for mine, theirs in pairs for gap in _gaps(mine, theirs)]
    return mostly([mine.token_ids == theirs.token_ids for mine, theirs in pairs]) and (
        not gaps or fmean(gaps) <= MOST_GAP)


def _gaps(one: Beginning, other: Beginning) -> list[float]:
    """Differences of log-probabilities, as far as both wrote the same tokens."""
    size = next((place for place, (mine, theirs) in enumerate(zip(one.token_ids, other.token_ids, strict=False))
                 if mine != theirs), min(len(one.token_ids), len(other.token_ids)))
    return [abs(mine - theirs) for mine, theirs in zip(one.logprobs[:size], other.logprobs[:size], strict=False)]
