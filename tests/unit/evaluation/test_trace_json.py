"""Traces, written and read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayllm.evaluation.trace_json import dump_trace, load_trace
from relayllm.relay.trace import Author, Call, Ledger, Segment, StopReason, Trace

NUMBERS = st.integers(0, 2**31)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TRACES = st.builds(
    Trace, prompt_ids=st.lists(NUMBERS).map(tuple), token_ids=st.lists(NUMBERS).map(tuple),
    authors=st.lists(st.sampled_from(Author)).map(tuple), logprobs=st.lists(st.none() | FLOATS).map(tuple),
    calls=st.lists(st.builds(Call, NUMBERS, NUMBERS, NUMBERS, NUMBERS, FLOATS, st.booleans())).map(tuple),
    ledger=st.builds(Ledger, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, FLOATS, FLOATS),
    stop_reason=st.sampled_from(StopReason), text=st.text(st.characters(exclude_categories=["Cs"])),
    segments=st.lists(st.builds(Segment, st.sampled_from(Author), NUMBERS, NUMBERS, NUMBERS, NUMBERS)).map(tuple),
    tops=st.lists(st.lists(st.tuples(NUMBERS, FLOATS)).map(tuple)).map(tuple))


@given(TRACES)
def test_trace_is_the_same_when_it_is_read_again(trace):
    assert load_trace(dump_trace(trace)) == trace


@pytest.mark.parametrize("data", [b"", b"nothing of ours"])
def test_bytes_that_are_no_trace_raise(data):
    with pytest.raises(ValueError, match="no trace"):
        load_trace(data)
