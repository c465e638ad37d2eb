"""Weights told by how answers begin."""

from __future__ import annotations

import pytest

from relayllm.engines.openai.beginnings import Beginning, begins_alike, same_weights

CALL = 99


def answers(*changed: tuple[int, ...], sure: float = -0.5, others: float = -0.5) -> list[Beginning]:
    """Four answers of three tokens; the first ones are given."""
    ids = [*changed, *[(1, 2, 3)] * 4][:4]
    return [Beginning(one, (sure, others, others)) for one in ids]


@pytest.mark.parametrize(("other", "same"), [
    (answers(), True),
    (answers((1, 2, 4), (1, 7, 3)), True),
    (answers((1, 2, 4), (1, 7, 3), (5, 2, 3)), False),
    (answers(sure=-0.52, others=-0.45), True),
    (answers(sure=-0.9, others=-0.7), False),
])
def test_weights_are_the_same_up_to_rounding(other, same):
    assert same_weights(answers(), other) is same
    assert same_weights(other, answers()) is same


def test_certainty_counts_only_where_both_wrote_the_same():
    parted = [Beginning((1, 5, 3), (-0.5, -4.0, -9.0)), *answers()[1:]]
    assert same_weights(answers(), parted)


def test_server_that_tells_no_certainty_is_known_by_its_tokens():
    silent = [Beginning(one.token_ids) for one in answers()]
    assert same_weights(answers(), silent)
    assert not same_weights(answers((7, 7, 7), (7, 7, 7), (7, 7, 7)), silent)


@pytest.mark.parametrize(("packed", "alike"), [
    ((1, 2, 3, 4), True), ((1, 2), True), ((1, 2, CALL, 8), True), ((CALL, 5), True), ((), True),
    ((1, 9, CALL), False)])
def test_packed_answer_is_compared_up_to_its_first_call(packed, alike):
    assert begins_alike((1, 2, 3), packed, CALL) is alike
