"""What the relay spent, as its rivals are given it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relayllm.evaluation.cost import Cost, cost_of
from tests.support.make_records import make_records


def test_cost_is_the_reports_mean_ratio_and_the_mean_n():
    large, small = (make_records("relay-difficulty", problems=count, benchmarks=(name,))
                    for name, count in (("pens", 50), ("puzzles", 2)))
    small = [replace(row, call_ratio=0.5) for row in small]
    cost = cost_of([*large, *small])
    assert cost.call_ratio == pytest.approx((sum(row.call_ratio for row in large) / 50 + 0.5) / 2)
    assert cost.mean_n == 3
    assert cost_of([]) == Cost(0.0, 1)


def test_cost_times_a_factor_is_at_most_the_whole_answer():
    assert Cost(0.2, 3).times(2.0) == Cost(0.4, 3)
    assert Cost(0.2, 3).times(9.0) == Cost(1.0, 3)
