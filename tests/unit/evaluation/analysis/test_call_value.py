import pandas as pd
import pytest

from relayllm.errors import DataError
from relayllm.evaluation.analysis.call_value import call_value, spent_per_needed
from tests.support.continuations import place, table

FOUND = call_value(table(
    place("needed", True, 0, 4), place("needless", True, 4, 4), place("in vain", True, 0, 0),
    place("needed too", True, 1, 3), place("missed", False, 0, 4), place("rightly silent", False, 4, 4)),
    draws=200, seed=0)


def test_help_gain_is_the_mean_difference_over_calls():
    assert FOUND["calls"] == 4
    assert FOUND["help_gain"]["value"] == pytest.approx((1 + 0 + 0 + 0.5) / 4)
    assert FOUND["help_gain"]["ci"][0] < 0.375 < FOUND["help_gain"]["ci"][1]


def test_needless_and_vain_calls_are_shares_of_the_calls():
    assert FOUND["needless"]["value"] == 0.25
    assert FOUND["in_vain"]["value"] == 0.25


def test_missed_calls_are_a_share_of_the_places_without_one():
    assert FOUND["places_without_a_call"] == 2
    assert FOUND["missed"]["value"] == 0.5


def test_prefix_that_was_continued_one_way_only_does_not_count():
    assert call_value(table(place("a", True, 0, 4)[:4]), draws=10, seed=0)["calls"] == 0


def test_without_calls_there_is_no_gain():
    assert call_value(table(place("a", False, 0, 4)), draws=10, seed=0)["help_gain"] is None


def test_table_without_a_column_is_refused():
    with pytest.raises(DataError, match="lacks correct"):
        call_value(table(place("a", True, 0, 4)).drop(columns="correct"), draws=10, seed=0)


def calls(*rows):
    return pd.DataFrame(rows, columns=["problem_id", "spent", "needed"])


def test_spent_per_needed_is_a_ratio_of_sums():
    found = spent_per_needed(calls(("a", 5, 3), ("a", 5, 5), ("b", 2, 0)), draws=200, seed=0)
    assert found["value"] == 1.5


@pytest.mark.parametrize("none", [calls(), calls(("a", 5, 0))])
def test_spent_per_needed_is_nothing_where_nothing_was_needed(none):
    assert spent_per_needed(none, draws=10, seed=0) is None
