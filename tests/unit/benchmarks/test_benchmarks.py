"""The benchmark times the work it says, and its baselines do the same work."""

from __future__ import annotations

import pytest

from benchmarks import bandwidth, baselines, models
from benchmarks.measures import Measure
from benchmarks.timing import Took, ratio
from benchmarks.work import check, draw, relay

WORK = draw(4, prompt=(10, 30), length=(24, 40), calls=3, n=1, words=models.SMALL.words)


@pytest.fixture(scope="module")
def decoder():
    return models.make_decoder(models.SMALL)


def test_work_has_every_call_and_length(decoder):
    traces = relay(decoder, WORK)
    check(WORK, traces)
    assert sum(trace.ledger.teacher_tokens for trace in traces) / WORK.tokens == WORK.ratio


def test_released_algorithm_writes_the_relays_tokens(decoder):
    assert baselines.released(decoder, WORK) == [list(trace.token_ids) for trace in relay(decoder, WORK)]


def test_released_algorithm_leaves_no_rows_open(decoder):
    """Slots stay few however often everything is re-read."""
    for _ in range(3):
        baselines.released(decoder, WORK)
    assert decoder.student.cache.slots <= len(WORK.prompts)


def test_generate_writes_as_many_tokens(decoder):
    alone = WORK.without_calls()
    written = baselines.generate(decoder.student.model, alone.prompts, alone.lengths)
    assert [len(ids) for ids in written] == list(alone.lengths)


def test_ratio_is_the_median_over_rounds():
    slow, fast = [Took(4, 1), Took(6, 1), Took(90, 1)], [Took(2, 1), Took(2, 1), Took(3, 1)]
    assert ratio(slow, fast) == 3
    assert ratio(slow, fast, cpu=True) == 1


@pytest.mark.parametrize(("value", "at_most", "reached"), [(1.1, False, True), (0.9, False, False), (0.9, True, True)])
def test_measure_knows_whether_it_is_reached(value, at_most, reached):
    assert Measure(value, 1.0, "", at_most=at_most).reached is reached


def test_bytes_of_a_step_are_those_of_a_hand_count(decoder):
    model = decoder.student.model  # width 64, 2 layers, 4 heads and 2 for keys, inner 128, heads of 16, 514 words
    attention = 64 * 4 * 16 * 2 + 64 * 2 * 16 * 2 + 2 * 16
    assert bandwidth.weights_read(model) == 4 * (514 * 64 + 2 * (attention + 3 * 64 * 128 + 2 * 64) + 64)
    assert bandwidth.cache_read(model, rows=3, keys=10) == 4 * 2 * 2 * 2 * 16 * 3 * 10
