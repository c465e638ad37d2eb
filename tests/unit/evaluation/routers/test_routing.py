"""Routing: a threshold that spends a share of the questions, and the records of who answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayllm.evaluation.routers.routing import route_threshold, routed
from tests.support.make_records import make_records

BASE, TEACHER = make_records("base", problems=100), make_records("teacher", problems=100)


@given(st.lists(st.sampled_from([0.0, 0.1, 0.4, 0.8]), min_size=1, max_size=60), st.floats(0, 1))
def test_threshold_sends_the_share_it_was_asked_for(scores, share):
    found = route_threshold(scores, share)
    expected = sum(score > found.score for score in scores) + found.share_at_score * scores.count(found.score)
    assert expected / len(scores) == pytest.approx(share)
    assert 0 <= found.share_at_score <= 1


def test_threshold_sends_the_highest_scores_first():
    found = route_threshold([0.1, 0.9, 0.5, 0.3], 0.5)
    assert [found.sends(score, 0.99) for score in (0.1, 0.9, 0.5, 0.3)] in (
        [False, True, True, False], [False, True, False, False])
    assert found.sends(0.9, 0.99)
    assert not found.sends(0.1, 0.0)


def test_routed_draws_whole_answers_of_the_two():
    theirs = {(row.benchmark, row.problem_id): row for row in TEACHER}
    drawn = routed("random-query", BASE, TEACHER, [0.0] * len(BASE), route_threshold([0.0], 0.3), 1, asks_first=False)
    sent = [row for row in drawn if row.call_ratio == 1.0]
    assert 0.23 < len(sent) / len(drawn) < 0.37
    for mine, row in zip(BASE, drawn, strict=True):
        source = theirs[row.benchmark, row.problem_id] if row.call_ratio == 1.0 else mine
        assert (row.text, row.correct, row.method) == (source.text, source.correct, "random-query")
    assert all(row.teacher_tokens == row.completion_tokens and row.student_tokens == 0 for row in sent)


def test_routed_with_nothing_to_spend_is_the_base():
    drawn = routed("random-query", BASE, TEACHER, [0.0] * len(BASE), route_threshold([0.0], 0.0), 1, asks_first=False)
    assert [row.text for row in drawn] == [row.text for row in BASE]


def test_routed_after_the_student_answered_pays_for_both():
    drawn = routed("cascade", BASE, TEACHER, [1.0] * len(BASE), route_threshold([1.0], 1.0), 1, asks_first=True)
    assert all(row.call_ratio == 1.0 and row.student_tokens == mine.student_tokens
               for row, mine in zip(drawn, BASE, strict=True))
