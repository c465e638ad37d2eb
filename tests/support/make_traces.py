"""Traces written by hand, with the ids they are made of spelled out."""

from __future__ import annotations

from relayllm.relay.trace import Author, Call, Ledger, StopReason, Trace

AUTHORS = {"s": Author.STUDENT, "c": Author.COMMAND, "t": Author.TEACHER}


def make_trace(text: str, authors: str, *, requested: tuple[int, ...] = (), degraded: bool = False) -> Trace:
    """A trace with one token per letter of `authors` (s, c, t); token ids count up from 10."""
    counts = {letter: authors.count(letter) for letter in "sct"}
    starts = [at for at, letter in enumerate(authors) if letter == "c" and authors[at - 1:at] != "c"]
    return Trace(
        prompt_ids=(1, 2, 3), token_ids=tuple(range(10, 10 + len(authors))),
        authors=tuple(AUTHORS[letter] for letter in authors),
        logprobs=tuple(None if letter == "t" else -0.5 - at for at, letter in enumerate(authors)),
        calls=tuple(Call(at, n, n, min(n, counts["t"])) for at, n in zip(starts, requested, strict=True)),
        ledger=Ledger(counts["s"], counts["c"], counts["t"]), stop_reason=StopReason.FINISHED, text=text,
        degraded=degraded)
