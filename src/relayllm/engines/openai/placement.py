"""Which of several replicas an answer goes to: consistent hashing with bounded loads (arXiv 1608.01350)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from math import ceil

from relayllm.relay.randomness import key_of

BALANCE = 1.25
"""No answer begins at a replica that has more than so many times the mean of requests in flight."""
SESSIONS = 10_000
"""Answers whose replica is remembered; the one asked for longest ago is forgotten first."""


class Placement:
    """The replicas by the order in which an answer asks them: the first is its home, and stays it. For one thread."""

    def __init__(self, names: Sequence[str]) -> None:
        self._hashes = [key_of(*name.encode()) for name in names]
        self._homes: OrderedDict[int, int] = OrderedDict()

    def order(self, session: int, loads: Sequence[int | None]) -> list[int]:
        """Places of the replicas, its home first; `loads` are their requests in flight, None where one is not up.

        The home is the first by rendezvous hashing that is not far busier than the others; a new one is chosen only
        when it is not up.
        """
        ranked = sorted(range(len(loads)), key=lambda place: key_of(session, self._hashes[place]))
        home = self._homes.get(session)
        if home is None or loads[home] is None:
            home = _first_within_bound(ranked, loads)
            self.settle(session, home)
        return [home, *(place for place in ranked if place != home)]

    def settle(self, session: int, place: int) -> None:
        """The replica that has read the answer so far is its home."""
        self._homes[session] = place
        self._homes.move_to_end(session)
        if len(self._homes) > SESSIONS:
            self._homes.popitem(last=False)


def _first_within_bound(ranked: Sequence[int], loads: Sequence[int | None]) -> int:
    """One always is: the least loaded has no more than the mean. With none up the first is as good as any."""
    busy = [load for load in loads if load is not None]
    bound = ceil(BALANCE * (sum(busy) + 1) / max(1, len(busy)))
    return next((place for place in ranked if (load := loads[place]) is not None and load < bound), ranked[0])
