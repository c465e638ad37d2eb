"""Money: prices of answers, worked out by hand, and what the report says of them."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from relayllm.evaluation.analysis.money import COST, Paid, with_costs
from relayllm.evaluation.analysis.summary import Limits, Provenance, build_summary
from relayllm.evaluation.records import CALL_COLUMNS, PRICED, SECONDS
from relayllm.evaluation.report.markdown import markdown
from relayllm.evaluation.report.money_table import money_rows
from relayllm.evaluation.report.render import Material, html
from relayllm.relay.prices import Prices
from relayllm.relay.trace import Ledger
from tests.support.make_records import make_frame, make_records

PRICES = Prices(student=1.0, student_read=0.5, teacher=10.0, teacher_read=2.0, teacher_cached=0.5)
PAID = Paid(PRICES)
ORIGIN = Provenance("tiny", 0, "", "", {})


def summary_of(frame, paid=PAID):
    return build_summary(frame, ORIGIN, Limits(4, 99), bootstrap=50, relay="relay-difficulty", paid=paid)


def frame_of(*methods, **columns):
    rows = [replace(row, method=name, benchmark="pens", **columns)
            for name in methods for row in make_records("base", problems=2, benchmarks=("pens",))]
    return pd.DataFrame([{name: getattr(row, name) for name in row.__slots__} for row in rows])


ANSWER = {"student_tokens": 60, "command_tokens": 3, "teacher_tokens": 7, "completion_tokens": 70,
          "student_prefilled": 57, "teacher_prefilled": 80, "teacher_cached": 40}


def test_answer_costs_what_was_written_and_read():
    cost = with_costs(frame_of("relay-difficulty", **ANSWER), Paid(PRICES))["cost"]
    assert list(cost) == pytest.approx([(63 * 1.0 + 57 * 0.5 + 7 * 10.0 + 80 * 2.0 + 40 * 0.5) / 1e6] * 2)


def test_teacher_alone_is_priced_as_the_teacher():
    frame = frame_of("teacher", **{**ANSWER, "teacher_prefilled": 0, "teacher_cached": 0})
    cost = with_costs(frame, Paid(PRICES))["cost"]
    assert list(cost) == pytest.approx([(70 * 10.0 + 57 * 2.0) / 1e6] * 2, abs=1e-5)


SERVED = {"student_reread": 90, "student_cached": 200}


def test_answer_of_a_student_elsewhere_costs_what_serving_takes_for_it():
    prices = replace(PRICES, student_cached=0.25)
    ledger = Ledger(60, 3, 7, student_prefilled=57, teacher_prefilled=80, teacher_cached=40, **SERVED)
    frame = frame_of("relay-difficulty", **ANSWER, **SERVED)
    assert list(with_costs(frame, Paid(prices))["cost"]) == pytest.approx([prices.cost(ledger)] * 2, abs=1e-12)


def test_teacher_alone_behind_a_students_server_is_priced_for_what_that_read_and_had():
    frame = frame_of("teacher", **{**ANSWER, **SERVED, "teacher_prefilled": 0, "teacher_cached": 0,
                                   "command_tokens": 0})
    cost = with_costs(frame, Paid(PRICES))["cost"]
    assert list(cost) == pytest.approx([(70 * 10.0 + 90 * 2.0 + 200 * 0.5) / 1e6] * 2, abs=1e-12)


CHEAP, DEAR = Prices(teacher=1.0, teacher_read=1.0), Prices(teacher=100.0, teacher_cached=5.0, teacher_second=2.0)
POOL = replace(PRICES, teachers={"cheap": CHEAP, "dear": DEAR})
CALLS = {"call_teachers": ["cheap", "dear", "plain"], "call_tokens": [2, 4, 1], "call_read": [50, 20, 10],
         "call_cached": [0, 30, 10], "call_seconds": [1.0, 0.5, 0.25], "teacher_seconds": 1.75}


def test_calls_of_a_pool_cost_what_their_teachers_take_and_one_without_prices_what_the_report_says():
    cost = with_costs(frame_of("relay-difficulty", **ANSWER, **CALLS), Paid(POOL))["cost"]
    student, cheap = 63 * 1.0 + 57 * 0.5, 2 * 1.0 + 50 * 1.0
    dear, plain = 4 * 100.0 + 30 * 5.0, 1 * 10.0 + 10 * 2.0 + 10 * 0.5
    assert list(cost) == pytest.approx([(student + cheap + dear + plain) / 1e6 + 0.5 * 2.0] * 2)


@pytest.mark.parametrize(("alone", "written", "read"), [("cheap", 1.0, 1.0), ("dear", 100.0, 0.0), ("", 10.0, 2.0)])
def test_whole_answers_cost_what_the_pools_teacher_takes_that_gives_them(alone, written, read):
    frame = frame_of("teacher", **{**ANSWER, "teacher_prefilled": 0, "teacher_cached": 0, "command_tokens": 0,
                                      "student_seconds": 0.0})
    assert list(with_costs(frame, Paid(POOL, alone))["cost"]) == pytest.approx([(70 * written + 57 * read) / 1e6] * 2)


def test_summary_names_the_prices_of_a_pools_teachers():
    told = summary_of(frame_of("relay-difficulty", **ANSWER, **CALLS), Paid(POOL))["money"]
    assert told["teachers"]["dear"] == {"teacher": 100.0, "teacher_read": 0.0, "teacher_cached": 5.0,
                                        "teacher_second": 2.0}
    assert "teachers" not in summary_of(frame_of("relay-difficulty", **ANSWER))["money"]


def test_records_that_do_not_say_who_wrote_a_call_have_no_price_under_a_pool():
    frame = frame_of("relay-difficulty", **ANSWER).assign(**dict.fromkeys(CALL_COLUMNS, math.nan))
    assert COST in with_costs(frame, Paid(PRICES))
    assert COST not in with_costs(frame, Paid(POOL))


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
    assert COST in with_costs(frame, Paid(Prices(teacher=1.0)))
    assert COST not in with_costs(frame, Paid(Prices(teacher=1.0, student_second=0.1)))


@pytest.mark.parametrize("case", ["no prices", "older records"])
def test_nothing_speaks_of_money_without_prices_or_without_what_was_read(case):
    frame = make_frame(("base", "relay-difficulty", "teacher"), problems=5)
    summary = summary_of(frame, Paid()) if case == "no prices" else summary_of(
        frame.assign(**dict.fromkeys(PRICED, float("nan"))))
    assert summary["money"] is None
    assert "In money" not in markdown(summary, Material({}))
    assert 'id="money"' not in html(summary, Material({}))
