"""Commands put into a completion: where, how many, how large, and what stays."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayllm.errors import DataError
from relayllm.relay.command import CommandTokens, parse
from relayllm.relay.trace import Author, Ledger, StopReason, Trace
from relayllm.training.warmup_data import insert_commands, surprise

TOKENS = CommandTokens(call=100, end=101, digits=tuple(range(10)))
COMPLETIONS = st.lists(st.integers(0, 90), max_size=60)


def without_commands(written):
    """The tokens that are no command's."""
    kept, inside = [], False
    for token in written:
        inside = inside or token == TOKENS.call
        if not inside:
            kept.append(token)
        inside = inside and token != TOKENS.end
    return kept


@given(COMPLETIONS, st.integers(0, 2**32), st.integers(0, 5), st.integers(1, 4))
def test_insert_keeps_every_token_of_the_completion(completion, seed, most, digits):
    written, _ = insert_commands(completion, TOKENS, random.Random(seed), max_commands=most, digits=digits)
    assert without_commands(written) == completion


@given(COMPLETIONS, st.integers(0, 2**32), st.integers(0, 5), st.integers(1, 4))
def test_insert_writes_valid_commands_whose_n_fits_what_is_left(completion, seed, most, digits):
    written, numbers = insert_commands(completion, TOKENS, random.Random(seed), max_commands=most, digits=digits)
    assert parse(written, TOKENS) == numbers
    assert len(numbers) <= min(most, len(completion))
    starts = [position for position, token in enumerate(written) if token == TOKENS.call]
    for start, n in zip(starts, numbers, strict=True):
        left = len(without_commands(written[start:]))
        leading = str(n).rstrip("0")
        assert 1 <= n <= left
        assert n == left or (len(leading) == 1 and len(str(n)) <= digits)


@given(COMPLETIONS, st.integers(0, 2**32))
def test_insert_puts_commands_before_distinct_tokens(completion, seed):
    written, _ = insert_commands(completion, TOKENS, random.Random(seed), max_commands=3, digits=2)
    assert written[-1:] != [TOKENS.end]
    assert (TOKENS.end, TOKENS.call) not in set(pairwise(written))


def test_insert_draws_count_and_length_evenly():
    """Uniform 0..3 commands; n = d * 10^k, d in 1..9, k in 0..3 (section 3.2 of arXiv 2601.05167)."""
    rng = random.Random(0)
    counts, magnitudes, leads = Counter(), Counter(), Counter()
    for _ in range(2000):
        _, numbers = insert_commands(list(range(40)) * 1000, TOKENS, rng, max_commands=3, digits=4)
        counts[len(numbers)] += 1
        for n in numbers:
            if str(n).strip("0") == str(n)[0]:
                magnitudes[len(str(n))] += 1
                leads[str(n)[0]] += 1
    assert all(440 < counts[count] < 560 for count in range(4))
    assert all(0.21 < magnitudes[size] / magnitudes.total() < 0.29 for size in range(1, 5))
    assert all(0.08 < leads[digit] / leads.total() < 0.14 for digit in "123456789")


def test_insert_none_when_none_are_wanted():
    assert insert_commands([1, 2, 3], TOKENS, random.Random(0), max_commands=0, digits=1) == ([1, 2, 3], [])


@given(COMPLETIONS, st.integers(0, 2**32), st.integers(0, 5), st.data())
def test_insert_by_weight_keeps_the_completion_and_the_count(completion, seed, most, data):
    weights = data.draw(st.lists(st.floats(0, 40), min_size=len(completion), max_size=len(completion)))
    written, numbers = insert_commands(completion, TOKENS, random.Random(seed), max_commands=most, digits=1,
                                       weights=weights)
    assert without_commands(written) == completion
    assert parse(written, TOKENS) == numbers
    assert len(numbers) <= min(most, len(completion))


def test_insert_by_weight_draws_places_in_proportion():
    rng, places = random.Random(0), Counter()
    for _ in range(4000):
        written, numbers = insert_commands([1, 2, 3, 4], TOKENS, rng, max_commands=1, digits=1, weights=[0, 1, 3, 0])
        places[written.index(TOKENS.call) if numbers else "none"] += 1
    assert places[0] == places[3] == 0
    assert 2.6 < places[2] / places[1] < 3.4
    assert 1900 < places["none"] < 2100


def test_surprise_is_what_the_log_probability_lacks_and_stands_before_numbers():
    ids, logprobs = (20, 3, 1, 4, 21, 5, 22, 6, 7), (-0.5, -1.0, -2.0, -3.0, 0.0, -0.25, -0.125, -4.0, -1.0)
    assert surprise(trace(ids, logprobs), TOKENS.digits) == [0.5, 6.0, 0.0, 0.0, 0.0, 0.25, 0.125, 5.0, 0.0]


def test_surprise_of_answers_without_log_probabilities_says_what_to_do():
    with pytest.raises(DataError, match="places: uniform"):
        surprise(trace((20, 3), (-0.5, None)), TOKENS.digits)


def trace(ids: tuple[int, ...], logprobs: tuple[float | None, ...]) -> Trace:
    """An answer of the student alone."""
    return Trace((1,), ids, (Author.STUDENT,) * len(ids), logprobs, (), Ledger(), StopReason.FINISHED, "")
