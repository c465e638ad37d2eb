"""The count of whole texts, on gold answers of our own."""

from __future__ import annotations

from benchmarks.wordings import GIVEN, NOT_GIVEN, counted


def test_counts_are_of_texts_and_of_pairs_of_symbolic_answers():
    assert list(counted("own", ["41", "\\sqrt{2}", "3x"])) == [
        f"own, given: {3 * len(GIVEN)} of {3 * len(GIVEN)} texts taken",
        f"own, not given: 0 of {3 * len(NOT_GIVEN)} texts taken", "own, another's: 0 of 1 pairs taken"]


def test_what_goes_the_other_way_is_printed_below_its_count():
    assert list(counted("own", ["2n", "2 n"]))[-2:] == ["own, another's: 1 of 1 pairs taken", "    '2n' and '2 n'"]
