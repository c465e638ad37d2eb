"""The table at the end of `make pipeline`, and its rows on Prefect's page."""

import pytest

from flows.score_table import table_rows, text_table

SUMMARY = {
    "methods": {name: {"average": {"accuracy": share, "accuracy_ci": [share - 0.1, share + 0.1], "call_ratio": ratio},
                       "benchmarks": {"pens": {"accuracy": share, "call_ratio": ratio}}}
                for name, share, ratio in (("base", 0.5, 0.0), ("relay-difficulty", 0.8, 0.04), ("odd", 0.4, 0.0))},
    "gap_recovered": {"value": 0.75, "ci": [0.6, 0.9]},
    "money": {"prices": {"currency": "EUR"}, "answers": 1000,
              "methods": {"base": {"cost": 0.0021}, "relay-difficulty": {"cost": 0.01234567}}},
}
FREE = {**SUMMARY, "money": None}


def cells(text, name):
    return next(line.split("  ")[-1].strip() for line in text.splitlines() if line.startswith(name))


def test_text_table_ends_with_the_cost_of_every_method():
    text = text_table(SUMMARY)
    assert [cells(text, name) for name in ("method", "base", "relay-difficulty", "odd")] == [
        "EUR per 1,000", "0.0021", "0.01235", "-"]
    assert text.endswith("Gap between student and teacher recovered: 75 % [60, 90]")
    assert "80.0 [70, 90]" in text


def test_table_rows_are_numbers_and_have_the_cost():
    row = table_rows(SUMMARY)[1]
    assert row == {"method": "relay-difficulty", "pens": 80.0, "average": 80.0, "call ratio": 4.0,
                   "EUR per 1,000": 0.01234567}
    assert table_rows(SUMMARY)[2]["EUR per 1,000"] is None


@pytest.mark.parametrize("summary", [FREE, {key: value for key, value in SUMMARY.items() if key != "money"}])
def test_nothing_speaks_of_money_without_prices(summary):
    assert cells(text_table(summary), "method") == "call %"
    assert list(table_rows(summary)[0]) == ["method", "pens", "average", "call ratio"]
