"""The grammar that runs inside vLLM, held against the grammar of the decoder, bit for bit; vLLM itself is not
needed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relayllm.relay.command import ALL_DIGITS, CALL_BIT, CommandTokens, allowed_in_command, may_call

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "infra" / "vllm"))
from relayllm_vllm.grammar import CommandIds, Rows, masked
from relayllm_vllm.request import GrammarRequest

TOKENS = CommandTokens(40, 41, tuple(range(10, 20)))
IDS = CommandIds(TOKENS.call, TOKENS.end, TOKENS.digits, 48)
WIDTH = 50
"""Two ids pad the table."""
WORDS = st.lists(st.sampled_from([1, 2, *TOKENS.digits]), max_size=6)


@st.composite
def outputs(draw):
    """A segment of a student as the grammar lets it be: text, then perhaps a command that is not whole yet."""
    text = draw(WORDS)
    if not draw(st.booleans()):
        return text, None
    digits = draw(st.sampled_from(["", "3", "12", "90", "999"]))
    return [*text, TOKENS.call, *(TOKENS.digits[int(digit)] for digit in digits)], int(digits or 0)


BUDGETS = st.tuples(st.integers(0, 2), st.integers(1, 12), st.sampled_from([1, 9, 50, 99, 999]),
                    st.sampled_from([0.0, -3.5, 40.0]))


def expected(logits: torch.Tensor, number: int | None, calls: int, remaining: int, most: int,
             bias: float) -> torch.Tensor:
    """One row by the decoder's grammar."""
    if number is None:
        bits = ALL_DIGITS | (CALL_BIT if may_call(remaining, calls) else 0)
        kept = [token for token in range(IDS.vocabulary) if token not in TOKENS.columns]
    else:
        bits, kept = allowed_in_command(number, remaining, most), []
    kept += [token for place, token in enumerate(TOKENS.columns) if bits >> place & 1]
    row = torch.full_like(logits, -torch.inf)
    row[kept] = logits[kept]
    row[TOKENS.call] += bias
    return row


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(outputs(), BUDGETS), min_size=1, max_size=8), st.integers(0, 1000))
def test_masked_is_the_decoders_grammar_bit_for_bit(rows, seed):
    logits = torch.randn(len(rows), WIDTH, generator=torch.Generator().manual_seed(seed))
    wanted = torch.stack([expected(line, number, *budget) for line, ((_, number), budget)
                          in zip(logits, rows, strict=True)])
    found = masked(logits.clone(),
                   Rows.of([(output, calls > 0, left, most, bias) for (output, _), (calls, left, most, bias)
                                            in rows], logits.device), IDS)
    assert torch.equal(found, wanted)


def test_masked_row_never_stands_without_a_token():
    """Whatever a budget says, something may be written: a command that began can always be ended."""
    for number, digits in ((0, []), (9, [9]), (99, [9, 9])):
        for remaining in range(1, 6):
            output = [TOKENS.call, *(TOKENS.digits[digit] for digit in digits)]
            row = masked(torch.zeros(1, WIDTH), Rows.of([(output, True, remaining, 99, 0.0)], torch.device("cpu")), IDS)
            assert torch.isfinite(row).any(), (number, remaining)


@pytest.mark.parametrize(("given_", "fact"), [
    ({"calls_left": 1}, "remaining"), ({"calls_left": -1, "remaining": 3, "max_call_tokens": 9}, "calls_left"),
    ({"calls_left": True, "remaining": 3, "max_call_tokens": 9}, "calls_left"),
    ({"calls_left": 1, "remaining": 3, "max_call_tokens": 1000}, "999"), ({"call_bias": 2.0}, "calls_left"),
    ({"calls_left": 1, "remaining": 3, "max_call_tokens": 9, "call_bias": float("-inf")}, "call_bias")])
def test_grammar_request_that_is_wrong_names_the_argument(given_, fact):
    with pytest.raises(ValueError, match=fact):
        GrammarRequest.of(given_)


def test_grammar_request_of_somebody_else_is_none():
    assert GrammarRequest.of(None) is None
    assert GrammarRequest.of({"other": 1}) is None
    asked = GrammarRequest.of({"calls_left": 2, "remaining": 64, "max_call_tokens": 99, "call_bias": 1})
    assert asked == GrammarRequest(2, 64, 99, 1.0)
