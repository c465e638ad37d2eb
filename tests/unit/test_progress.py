"""Progress: lines with the rate that was measured and the time that is left."""

from __future__ import annotations

import pytest

from relayllm.progress import EVERY_SECONDS, Progress, Rate, duration


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_rate_leaves_out_what_was_there_at_the_start_and_how_long_the_first_took():
    clock = Clock()
    rate = Rate(clock)
    assert rate.left(10) is None
    clock.now += 20
    rate.count(1)
    assert rate.left(10) is None
    clock.now += 19
    rate.count(4)
    assert rate.left(10) is None
    clock.now += 1
    rate.count(1)
    assert rate.left(10) == 10 * 20 / 5
    assert rate.left(0) is None


def test_progress_tells_a_part_and_the_whole_with_the_time_left():
    clock, said = Clock(), []
    progress = Progress("evaluate", said.append, clock)
    progress.expect(30)
    first = progress.part("base, pens")
    first(2, 10)  # two were in the cache
    clock.now += EVERY_SECONDS
    first(4, 10)
    assert said == [f"evaluate: base, pens 4/10; 4/30 of all in {EVERY_SECONDS:.0f} s"]
    clock.now += 2 * EVERY_SECONDS
    first(9, 10)
    assert said[-1] == "evaluate: base, pens 9/10; 9/30 of all in 15 s, about 42 s left"
    first(10, 10)
    second = progress.part("base, boxes")
    second(0, 20)
    clock.now += EVERY_SECONDS
    second(1, 20)
    assert said[-1].startswith("evaluate: base, boxes 1/20; 11/30 of all in 20 s, about 41 s left")


def test_progress_is_silent_between_two_lines():
    clock, said = Clock(), []
    report = Progress("evaluate", said.append, clock).part("base, pens")
    for done in range(110):
        clock.now += EVERY_SECONDS / 50
        report(done, 110)
    assert len(said) == 2


@pytest.mark.parametrize(("seconds", "text"), [(3.2, "3 s"), (99, "99 s"), (600, "10 min"), (7200, "2.0 h")])
def test_duration_is_short(seconds, text):
    assert duration(seconds) == text
