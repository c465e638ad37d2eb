"""What is decoded: prompts, lengths and calls, drawn once and the same for whoever is timed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from relayllm.engines.decoder import RelayDecoder
from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.policy import Scripted
from relayllm.relay.trace import Trace

FIRST_WORD = 12
"""Ids below are special tokens and digits."""


@dataclass(frozen=True)
class Work:
    """Rows to write."""

    prompts: tuple[tuple[int, ...], ...]
    lengths: tuple[int, ...]
    """Completion tokens of each row: commands, student and teacher together."""
    calls: tuple[tuple[tuple[int, int], ...], ...]
    """Per row (position, n), in order."""

    @property
    def tokens(self) -> int:
        """Completion tokens of all rows."""
        return sum(self.lengths)

    @property
    def ratio(self) -> float:
        """The call ratio that the schedule asks for."""
        return sum(n for row in self.calls for _, n in row) / self.tokens

    def without_calls(self) -> Work:
        """The same rows, written by the student alone."""
        return replace(self, calls=((),) * len(self.prompts))


def draw(rows: int, *, prompt: tuple[int, int], length: tuple[int, int], calls: int, n: int, words: int,
         seed: int = 0) -> Work:
    """Prompts and answers of ragged length, calls spread evenly over each answer with some jitter."""
    rng = random.Random(seed)
    prompts = tuple(tuple(rng.randrange(FIRST_WORD, words) for _ in range(rng.randint(*prompt))) for _ in range(rows))
    lengths = tuple(rng.randint(*length) for _ in range(rows))
    room = n + 4  # what a call takes: its command and its answer
    plans = []
    for size in lengths:
        part = size // calls if calls else 0
        plans.append(tuple((index * part + rng.randint(1, max(1, part - room)), n) for index in range(calls)))
    return Work(prompts, lengths, tuple(plans))


def relay(decoder: RelayDecoder, work: Work, *, slots: int | None = None) -> list[Trace]:
    """The relay decoder does the work."""
    policy = Scripted(script=dict(enumerate(work.calls)))
    session = decoder.session(slots or len(work.prompts))
    most = max(map(len, work.calls))
    for row, (prompt, length) in enumerate(zip(work.prompts, work.lengths, strict=True)):
        options = Options(max_new_tokens=length, max_calls=most, policy=policy)
        session.submit(GenerationRequest(prompt, options, row=row))
    decoder.student.reserve(slots or len(work.prompts), longest(work))
    if most and decoder.teacher is not None:
        decoder.teacher.reserve(slots or len(work.prompts), longest(work))
    done: list[Trace] = []
    while session.busy:
        done += [finished.trace for finished in session.step()]
    return sorted(done, key=lambda trace: trace.row)


def longest(work: Work) -> int:
    """Tokens of the longest row, prompt included."""
    return max(len(prompt) + length for prompt, length in zip(work.prompts, work.lengths, strict=True))


def check(work: Work, traces: Sequence[Trace]) -> None:
    """The work was done: every length, every call.

    Raises:
        AssertionError: it was not; the timing would mean nothing.
    """
    for row, trace in enumerate(traces):
        assert len(trace.token_ids) == work.lengths[row], (row, len(trace.token_ids), work.lengths[row])
        assert [call.delivered for call in trace.calls] == [n for _, n in work.calls[row]], (row, trace.calls)
