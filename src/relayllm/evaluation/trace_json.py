"""Traces as compressed JSON: what the answer cache holds."""

from __future__ import annotations

import zlib
from dataclasses import fields
from typing import Any

import orjson

from relayllm.relay.trace import Author, Call, Ledger, Segment, StopReason, Trace


def dump_trace(trace: Trace) -> bytes:
    """A trace as bytes, with everything that it holds."""
    return zlib.compress(orjson.dumps(_values(trace)), level=1)


def load_trace(data: bytes) -> Trace:
    """The trace that `dump_trace` was given, equal to it.

    Raises:
        ValueError: the bytes are something else.
    """
    try:
        found: dict[str, Any] = orjson.loads(zlib.decompress(data))
        return Trace(**{
            **found, "prompt_ids": tuple(found["prompt_ids"]), "token_ids": tuple(found["token_ids"]),
            "authors": tuple(map(Author, found["authors"])), "logprobs": tuple(found["logprobs"]),
            "calls": tuple(Call(*call) for call in found["calls"]), "ledger": Ledger(*found["ledger"]),
            "stop_reason": StopReason(found["stop_reason"]),
            "segments": tuple(Segment(Author(author), *rest) for author, *rest in found["segments"]),
            "tops": tuple(tuple((token, logprob) for token, logprob in top) for top in found["tops"])})
    except (zlib.error, KeyError, TypeError) as error:
        raise ValueError(f"no trace ({type(error).__name__}: {error})") from error


def _values(trace: Trace) -> dict[str, Any]:
    whole = {field.name: getattr(trace, field.name) for field in fields(trace)}
    return {**whole, "ledger": _row(trace.ledger), "calls": [_row(call) for call in trace.calls],
            "segments": [_row(segment) for segment in trace.segments]}


def _row(one: Ledger | Call | Segment) -> list[Any]:
    return [getattr(one, field.name) for field in fields(one)]
