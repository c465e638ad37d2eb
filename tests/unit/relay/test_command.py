from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayllm.relay.command import (
    CALL_BIT,
    END_BIT,
    CommandTokens,
    allowed_in_command,
    may_call,
    parse,
)

TOKENS = CommandTokens(call=100, end=101, digits=tuple(range(10)))


def walk(choices: list[int], remaining: int, largest: int) -> tuple[int, int]:
    """Write a command by picking among what is allowed; (n, tokens left after `</call>`)."""
    number, remaining = 0, remaining - 1
    for choice in [*choices, *[0] * 50]:
        bits = allowed_in_command(number, remaining, largest)
        options = [bit for bit in range(12) if bits >> bit & 1]
        assert options, "the grammar has a dead end"
        bit = options[choice % len(options)] if choices else options[-1]
        remaining -= 1
        if 1 << bit == END_BIT:
            return number, remaining
        number = 10 * number + bit
    raise AssertionError("the command never ended")


@given(st.lists(st.integers(0, 11), min_size=1, max_size=6), st.integers(4, 60), st.integers(1, 9999))
def test_command_written_by_the_grammar_is_well_formed_and_can_be_served(choices, remaining, largest):
    n, left = walk(choices, remaining, largest)
    assert 1 <= n <= largest
    assert left >= 1


@pytest.mark.parametrize(("remaining", "calls", "allowed"), [(4, 1, True), (3, 1, False), (100, 0, False)])
def test_may_call_needs_room_for_the_command_and_one_token(remaining, calls, allowed):
    assert may_call(remaining, calls) is allowed


def test_allowed_first_digit_is_not_zero_and_end_needs_a_digit():
    bits = allowed_in_command(0, 50, 99)
    assert not bits & 1
    assert not bits & (END_BIT | CALL_BIT)


@given(st.lists(st.tuples(st.lists(st.integers(50, 60), max_size=5), st.integers(1, 9999)), max_size=5))
def test_parse_reads_what_write_wrote(parts):
    ids = []
    for text, n in parts:
        ids += [*text, *TOKENS.write(n)]
    assert parse(ids, TOKENS) == [n for _, n in parts]


@pytest.mark.parametrize("ids", [[101], [100, 101], [100, 0, 101], [100, 5], [100, 5, 50, 101], [100, 100, 5, 101]])
def test_parse_malformed_command_raises(ids):
    with pytest.raises(ValueError):
        parse(ids, TOKENS)
