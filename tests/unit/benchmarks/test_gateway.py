"""The gateway's benchmark: what its figures are made of."""

from __future__ import annotations

import pytest

from benchmarks.gateway.__main__ import figures, summary
from benchmarks.gateway.measures import HandOvers, Leg, bodies, hand_over_seconds
from relayllm.relay.trace import Author

S, C, T = Author.STUDENT, Author.COMMAND, Author.TEACHER


def test_hand_overs_are_told_from_gaps_and_the_first_call_is_left_out():
    authors = [S, S, C, C, C, T, T, S, C, C, C, T, S, S]
    times = [0, 1, 3, 3, 3, 10, 11, 14, 15, 15, 15, 17, 20, 21]
    assert hand_over_seconds([list(zip(times, authors, strict=True))]) == ([1, 1], [2], [3, 3])


def test_share_is_the_median_over_rounds_and_latencies_are_in_gaps():
    alone, leg = Leg([100, 200, 100], [1.0], [0.0]), Leg([50, 180, 90], [2.0], [0.001])
    assert figures(leg, alone)["share"] == 0.9
    found = summary(HandOvers([0.1, 0.3], [0.2, 0.3, 0.8], [0.4, 0.6], reread=90, calls=3))
    assert (found["to_teacher_gaps"], found["back_gaps"], found["hand_overs"]) == (1.5, 2.5, 2)
    assert found["tokens_read_again"] == 30


def test_hand_overs_that_never_were_are_said_to_be_missing():
    with pytest.raises(SystemExit, match="1 calls, and none after an answer's first: give --tokens more"):
        summary(HandOvers([0.1], [], [0.4], calls=1))


def test_same_questions_go_to_the_server_alone_and_to_the_gateway():
    alone, relay = bodies(9, 2, 1, None), bodies(9, 2, 1, {"max_calls": 1})
    assert [[body["prompt"] for body in its] for its in alone] == [[body["prompt"] for body in its] for its in relay]
    assert len({body["prompt"] for its in alone for body in its}) == sum(map(len, alone))
