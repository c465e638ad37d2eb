"""When a teacher in this process serves: not at the first call, while other rows still write."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DynamicBatching:
    """Lets calls gather for a few steps, so that they share the teacher's forwards.

    A forward of one row of a large model costs nearly what one of 32 rows does: its weights are read once either way.
    """

    min_share: float = 0.25
    """Of the running rows: when so many call, they are served."""
    max_queue_delay: int = 8
    """Steps of the student that a call waits at most."""

    def serves(self, *, calling: int, writing: int, waited: int) -> bool:
        """Whether to serve now, with `waited` steps since the oldest call began.

        A row that runs alone is served at once, and so are rows of which none writes.
        """
        return not writing or waited >= self.max_queue_delay or calling >= self.min_share * (calling + writing)


DYNAMIC_BATCHING = DynamicBatching()
"""Chosen by counting forwards: docs/decisions/0006-calls-gather.md."""
