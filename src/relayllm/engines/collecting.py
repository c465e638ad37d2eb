"""Completions are finished in any order; here they are put into the order of their requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from relayllm.relay.trace import Trace


def in_order(finished: Iterable[tuple[int, Trace]], count: int,
             progress: Callable[[int, int], None] | None = None) -> list[Trace]:
    """The traces of `count` requests by their places; `progress` is told how many are done, of how many."""
    traces: dict[int, Trace] = {}
    for place, trace in finished:
        traces[place] = trace
        if progress is not None:
            progress(len(traces), count)
    return [traces[place] for place in range(count)]
