"""Money: prices of answers, worked out by hand, and what the report says of them."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from relayllm.evaluation.analysis.money import COST, with_costs
from relayllm.evaluation.analysis.summary import Limits, Provenance, build_summary
from relayllm.evaluation.records import PRICED, SECONDS
from relayllm.evaluation.report.markdown import markdown
from relayllm.evaluation.report.money_table import money_rows
from relayllm.evaluation.report.render import Material, html
from relayllm.relay.prices import Prices
from tests.unit.evaluation.make_records import make_frame, make_records

PRICES = Prices(student=1.0, student_read=0.5, teacher=10.0, teacher_read=2.0, teacher_cached=0.5)
ORIGIN = Provenance("tiny", 0, "", "", {})


def summary_of(frame, prices=PRICES):
    return build_summary(frame, ORIGIN, Limits(4, 99), bootstrap=50, relay="relay-difficulty", prices=prices)


def frame_of(*methods, **columns):
    rows = [replace(row, method=name, benchmark="pens", **columns)
            for name in methods for row in make_records("base", problems=2, benchmarks=("pens",))]
    return pd.DataFrame([{name: getattr(row, name) for name in row.__slots__} for row in rows])


ANSWER = {"student_tokens": 60, "command_tokens": 3, "teacher_tokens": 7, "completion_tokens": 70,
          "student_prefilled": 57, "teacher_prefilled": 80, "teacher_cached": 40}


def test_answer_costs_what_was_written_and_read():
    cost = with_costs(frame_of("relay-difficulty", **ANSWER), PRICES)["cost"]
    assert list(cost) == pytest.approx([(63 * 1.0 + 57 * 0.5 + 7 * 10.0 + 80 * 2.0 + 40 * 0.5) / 1e6] * 2)


def test_teacher_alone_is_priced_as_the_teacher():
    cost = with_costs(frame_of("teacher", **{**ANSWER, "teacher_prefilled": 0, "teacher_cached": 0}), PRICES)["cost"]
    assert list(cost) == pytest.approx([(70 * 10.0 + 57 * 2.0) / 1e6] * 2, abs=1e-5)


def test_reading_is_its_part_of_what_calls_cost():
    summary = summary_of(frame_of("relay-difficulty", **ANSWER))
    found = summary["money"]["methods"]["relay-difficulty"]
    assert found["read_share"] == pytest.approx((160 + 20) / (70 + 160 + 20))
    assert found["cost"] == pytest.approx(1000 * 341.5 / 1e6, abs=1e-6)
    assert found["of_teacher"] is None


def test_random_router_at_the_relays_price_lies_on_the_line_between_student_and_teacher():
    summary = summary_of(make_frame(("base", "relay-difficulty", "teacher"), problems=60))
    paid, router = summary["money"]["methods"], summary["money"]["random_router"]["at_equal_cost"]
    share = (paid["relay-difficulty"]["cost"] - paid["base"]["cost"]) / (paid["teacher"]["cost"] - paid["base"]["cost"])
    ends = [summary["methods"][name]["average"]["accuracy"] for name in ("base", "teacher")]
    assert router["share"] == pytest.approx(share, abs=1e-4)
    assert router["accuracy"] == pytest.approx(ends[0] + share * (ends[1] - ends[0]), abs=1e-4)
    assert paid["base"]["cost"] < paid["relay-difficulty"]["cost"] < paid["teacher"]["cost"]
    assert paid["teacher"]["of_teacher"] == 1.0


def test_both_pages_tell_the_price_of_every_method():
    summary = summary_of(make_frame(("base", "relay-difficulty", "teacher"), problems=20))
    assert [row[0] for row in money_rows(summary)] == ["base", "relay-difficulty", "teacher"]
    assert "## In money" in markdown(summary, Material({}))
    assert 'id="money"' in html(summary, Material({}))
    assert "USD per 1,000 answers" in html(summary, Material({}))


def test_seconds_are_needed_where_a_second_has_a_price():
    frame = make_frame(("base", "relay-difficulty", "teacher"), problems=5).assign(**dict.fromkeys(SECONDS, math.nan))
    assert COST in with_costs(frame, Prices(teacher=1.0))
    assert COST not in with_costs(frame, Prices(teacher=1.0, student_second=0.1))


@pytest.mark.parametrize("case", ["no prices", "older records"])
def test_nothing_speaks_of_money_without_prices_or_without_what_was_read(case):
    frame = make_frame(("base", "relay-difficulty", "teacher"), problems=5)
    summary = summary_of(frame, Prices()) if case == "no prices" else summary_of(
        frame.assign(**dict.fromkeys(PRICED, float("nan"))))
    assert summary["money"] is None
    assert "In money" not in markdown(summary, Material({}))
    assert 'id="money"' not in html(summary, Material({}))
