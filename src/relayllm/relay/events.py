"""Token events: what a listener is told of a row while it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from relayllm.relay.detokenizer import Detokenizer
from relayllm.relay.row import Row
from relayllm.relay.trace import Author


@dataclass(frozen=True, slots=True)
class Event:
    """One token as it is written."""

    token_id: int
    text: str
    """What this token adds to the text a reader sees; `<call>`, digits and `</call>` for commands."""
    author: Author
    position: int


Listener = Callable[[Event], None]


class EventEmitter:
    """Turns the tokens of one row into events: each token once, in order."""

    def __init__(self, listener: Listener, detokenizer: Detokenizer) -> None:
        self._listener, self._detokenizer, self._emitted = listener, detokenizer, 0

    def skip(self, row: Row) -> None:
        """Pass over what a continuation begins with: it was told before."""
        for token, author in zip(row.ids, row.authors, strict=True):
            self._detokenizer.push(token, author)
        self._emitted = len(row.ids)

    def emit(self, row: Row) -> None:
        """Tell the tokens that were written since the last time."""
        while self._emitted < row.certain:
            position = self._emitted
            token, author = row.ids[position], row.authors[position]
            self._emitted += 1
            self._listener(Event(token, self._detokenizer.push(token, author), author, position))

    def close(self, row: Row) -> None:
        """Tell what is left, and the text that was held back as a possible stop string."""
        self.emit(row)
        rest = self._detokenizer.rest()
        if rest and row.ids:
            self._listener(Event(row.ids[-1], rest, row.authors[-1], len(row.ids) - 1))
