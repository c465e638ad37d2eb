"""A decoder that always gives the same answer, written by hand."""

from __future__ import annotations

from types import SimpleNamespace

from relayllm.errors import ConfigError
from relayllm.relay.trace import Author, Call, Ledger, Segment, StopReason, Trace

TRACE = Trace(prompt_ids=(1,), token_ids=(5, 6, 7, 8), authors=(Author.STUDENT,) * 4, logprobs=(None,) * 4,
              calls=(Call(1, 1, 1, 1),), ledger=Ledger(1, 2, 1), stop_reason=StopReason.FINISHED, text="ab",
              segments=(Segment(Author.STUDENT, 0, 1, 0, 1), Segment(Author.COMMAND, 1, 3, 1, 1),
                        Segment(Author.TEACHER, 3, 4, 1, 2)))


class FakeDecoder:
    """Remembers what it was asked and always gives the same trace."""

    def __init__(self) -> None:
        self.options = {}

    def generate(self, prompts, **options):
        self.options = options
        if options["temperature"] < 0:
            raise ConfigError("temperature is -1: give 0 or more")
        return [TRACE for _ in prompts]

    def stream(self, prompt, **options):
        self.options = options
        for position, text in enumerate(prompt):
            yield SimpleNamespace(token_id=position, text=text, author=Author.STUDENT, position=position)
