"""Put commands into completions that the student wrote: the warm-up set of the paper."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from relayllm.errors import DataError
from relayllm.relay.command import CommandTokens
from relayllm.relay.trace import Trace


@dataclass(frozen=True, slots=True)
class WarmupRow:
    """A prompt and a completion with commands in it, as the student's token ids."""

    problem_id: str
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    commands: tuple[int, ...]
    """The n of each command, in order."""


def insert_commands(completion: Sequence[int], commands: CommandTokens, rng: random.Random, *, max_commands: int,
                    digits: int, weights: Sequence[float] | None = None) -> tuple[list[int], list[int]]:
    """A completion with 0 to `max_commands` commands before distinct random tokens, and their n.

    n = min(d * 10^k, tokens left), d uniform in 1..9, k uniform in 0..digits-1 (section 3.2 of arXiv 2601.05167).

    Args:
        weights: how likely each token is to be chosen, relative to the others; None for the paper's uniform draw.
    """
    count = min(rng.randint(0, max_commands), len(completion))
    places = sorted(_draw(weights, count, rng) if weights else rng.sample(range(len(completion)), count))
    numbers = [min(rng.randint(1, 9) * 10 ** rng.randrange(digits), len(completion) - place) for place in places]
    written: list[int] = []
    for start, stop, n in zip([0, *places], [*places, len(completion)], [0, *numbers], strict=True):
        if n:
            written += commands.write(n)
        written += completion[start:stop]
    return written, numbers


def surprise(trace: Trace, digits: Collection[int]) -> list[float]:
    """How unlikely each token was to its writer, in nats: the expectation of it over what could be written is entropy.

    A number is one thing to call for: the surprise of all its digits counts where its first one stands.

    Raises:
        DataError: whoever wrote the tokens did not say how likely they were.
    """
    found: list[float] = []
    first = 0
    for place, (token, logprob) in enumerate(zip(trace.token_ids, trace.logprobs, strict=True)):
        if logprob is None:
            raise DataError("the warm-up set draws places by surprisal, and an answer came without log-probabilities: "
                            "take `places: uniform` in params.yaml, warmup_set, or the student in process")
        found.append(0.0)
        if token not in digits or not place or trace.token_ids[place - 1] not in digits:
            first = place
        found[first] -= logprob
    return found


def _draw(weights: Sequence[float], count: int, rng: random.Random) -> list[int]:
    """Places without replacement, each draw in proportion to the weights that are left (exponential races)."""
    finish = [rng.expovariate(1.0) / max(weight, 1e-9) for weight in weights]
    return sorted(range(len(weights)), key=finish.__getitem__)[:count]
