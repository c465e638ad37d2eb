"""From tokens to text: as they come, and once a row is over."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from relayllm.relay.command import CommandTokens
from relayllm.relay.protocols import Tokenizer
from relayllm.relay.row import Row
from relayllm.relay.trace import Author, Segment, StopReason, Trace


def decode(tokenizer: Tokenizer, token_ids: Sequence[int]) -> str:
    """The text of token ids without special tokens; a character cut in two is U+FFFD."""
    return str(tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def read(tokenizer: Tokenizer, token_ids: Sequence[int]) -> str:
    """The text of token ids as `decode` gives it, without a character that is cut in two at the end."""
    return decode(tokenizer, token_ids).rstrip("\ufffd")


class Detokenizer:
    """Text of one row, token by token. Holds back what may be the beginning of a stop string or half a character."""

    def __init__(self, tokenizer: Tokenizer, commands: CommandTokens, stop: Sequence[str] = ()) -> None:
        self._tokenizer, self._commands, self._stop = tokenizer, commands, tuple(stop)
        self._ids: list[int] = []
        self._start = self._emitted = 0
        self._seen = 0
        """Characters of the window that begins at `_start` that were released."""
        self._held = ""
        self.stopped = False
        """Whether a stop string came; nothing is told from there on."""

    def push(self, token: int, author: Author) -> str:
        """What this token lets the reader see."""
        if author is Author.COMMAND:
            return self._commands.text(token)
        return self.extend((token,))

    def extend(self, tokens: Sequence[int]) -> str:
        """What a run of tokens lets the reader see, no commands among them; costs two decodings, however long."""
        self._ids += tokens
        text = decode(self._tokenizer, self._ids[self._start:])
        whole = text.rstrip("\ufffd")
        fresh, self._seen = whole[self._seen:], max(self._seen, len(whole))
        if whole == text:
            self._start, self._emitted = self._emitted, len(self._ids)
            self._seen = len(decode(self._tokenizer, self._ids[self._start:]))
        return self._release(fresh)

    def rest(self) -> str:
        """What was held back and turned out not to be a stop string."""
        held, self._held = self._held, ""
        return "" if self.stopped else held

    def _release(self, text: str) -> str:
        if self.stopped or not self._stop:
            return "" if self.stopped else text
        text = self._held + text
        cut = first_stop(text, self._stop)
        if cut is not None:
            self.stopped, self._held = True, ""
            return text[:cut]
        keep = max((size for stop in self._stop for size in range(1, len(stop)) if text.endswith(stop[:size])),
                   default=0)
        self._held = text[len(text) - keep:] if keep else ""
        return text[:len(text) - keep]


def first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the first stop string begins."""
    found = [index for index in (text.find(word) for word in stop) if index >= 0]
    return min(found) if found else None


class StopSearch:
    """Looks for stop strings in the text of a row: at each token once, however many come together."""

    def __init__(self, tokenizer: Tokenizer, commands: CommandTokens, stop: Sequence[str]) -> None:
        self._text = Detokenizer(tokenizer, commands, stop)
        self._seen = 0

    def found(self, row: Row) -> bool:
        """Whether the row has one by now."""
        new = slice(self._seen, row.certain)
        shown = [token for token, author in zip(row.ids[new], row.authors[new], strict=True)
                 if author is not Author.COMMAND]
        self._seen = row.certain
        self._text.extend(shown)
        return self._text.stopped


def trace_of(tokenizer: Tokenizer, row: Row) -> Trace:
    """The record of a finished row."""
    shown = [token for token, author in zip(row.ids, row.authors, strict=True) if author is not Author.COMMAND]
    text = read(tokenizer, shown)
    if row.options.stop and row.stop is StopReason.STOP_STRING:
        text = text[:first_stop(text, row.options.stop)]
    asked = row.request
    return Trace(asked.prompt_ids, tuple(row.ids), tuple(row.authors), tuple(row.logprobs), tuple(row.calls),
                 row.ledger(), row.stop or StopReason.CANCELLED, text, row.degraded, asked.seed, asked.row,
                 asked.sample, _segments(tokenizer, row, shown, text), tuple(row.tops))


def _segments(tokenizer: Tokenizer, row: Row, shown: list[int], text: str) -> tuple[Segment, ...]:
    runs: list[Segment] = []
    position = seen = at = 0
    for author, group in groupby(row.authors):
        size = len(list(group))
        end = at
        if author is not Author.COMMAND:
            seen += size
            end = len(text) if seen == len(shown) else min(len(text), len(read(tokenizer, shown[:seen])))
        runs.append(Segment(author, position, position + size, at, end))
        position, at = position + size, end
    return tuple(runs)
