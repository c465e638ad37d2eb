"""When a teacher in this process serves."""

from __future__ import annotations

import pytest

from relayllm.relay.batching import DynamicBatching
from tests.support.plain_relay import NO_BATCHING

FEW_STEPS = DynamicBatching(min_share=0.25, max_queue_delay=8)


@pytest.mark.parametrize(("calling", "writing", "waited", "serves"), [
    (1, 0, 0, True),  # a row that runs alone
    (5, 0, 0, True),  # nobody writes
    (1, 31, 0, False),
    (7, 25, 0, False),
    (8, 24, 0, True),  # a quarter calls
    (1, 3, 0, True),
    (1, 31, 7, False),
    (1, 31, 8, True),  # long enough
])
def test_serves_when_enough_call_or_one_waited_or_nobody_writes(calling, writing, waited, serves):
    assert FEW_STEPS.serves(calling=calling, writing=writing, waited=waited) is serves


def test_at_once_never_waits():
    assert NO_BATCHING.serves(calling=1, writing=1000, waited=0)
