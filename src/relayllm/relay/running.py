"""A row in a slot of the scheduler: its cache, who listens, and the clock of its call."""

from __future__ import annotations

import time
from dataclasses import dataclass

from relayllm.relay.detokenizer import Detokenizer, StopSearch
from relayllm.relay.engine import StepInput
from relayllm.relay.events import EventEmitter, Listener
from relayllm.relay.protocols import Tokenizer
from relayllm.relay.randomness import uniform
from relayllm.relay.row import Pen, Row
from relayllm.relay.trace import StopReason


@dataclass(slots=True)
class RunningRow:
    """One row while it is written."""

    handle: int
    row: Row
    cache: int
    """The student engine's handle of the row's key-value cache."""
    emitter: EventEmitter | None = None
    stops: StopSearch | None = None
    call_started: float = 0.0
    teacher_met: bool = False
    """Whether the teacher has read the prompt."""

    @classmethod
    def start(cls, handle: int, row: Row, cache: int, tokenizer: Tokenizer, listener: Listener | None) -> RunningRow:
        """Put a row into a slot, with a detokenizer for whoever listens and one for stop strings."""
        stop = row.options.stop
        emitter = listener and EventEmitter(listener, Detokenizer(tokenizer, row.commands, stop))
        if emitter is not None:
            emitter.skip(row)
        return cls(handle, row, cache, emitter,
                   StopSearch(tokenizer, row.commands, stop) if stop else None)

    def step_input(self) -> StepInput:
        """The row's part of the student's next batch."""
        row, options, mask = self.row, self.row.options, self.row.mask()
        score = row.to_score  # before the pending tokens are taken
        draw = uniform(row.key, row.position) if options.temperature else 0.0
        return StepInput(self.cache, row.take_pending(), mask.allowed, mask.inside, options.temperature, options.top_p,
                         options.call_bias, draw, options.top_logprobs, mask.only, mask.never, score,
                         options.probe)

    def call_seconds(self) -> float:
        """Wall time since the running call began."""
        return time.perf_counter() - self.call_started

    def written(self) -> None:
        """Tokens were appended: tell them, and end the row where they complete a stop string.

        A stop string comes before any other end, a cancelled row's excepted.
        """
        row = self.row
        if self.emitter is not None:
            self.emitter.emit(row)
        if self.stops is not None and row.stop is not StopReason.CANCELLED and self.stops.found(row):
            row.stop = StopReason.STOP_STRING
            if row.pen is Pen.TEACHER:
                row.hand_back(seconds=self.call_seconds())

    def close(self) -> None:
        """Tell the listener what is left of the row's text."""
        if self.emitter is not None:
            self.emitter.close(self.row)
