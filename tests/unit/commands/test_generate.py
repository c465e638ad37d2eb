"""The terminal's view of an answer."""

from __future__ import annotations

import pytest

from relayllm.commands.generate import amount, painted, summary
from relayllm.relay.prices import Prices
from relayllm.relay.trace import Ledger, StopReason, Trace
from tests.support.fakes_serving import scripted_decoder

FREE = Prices()


@pytest.fixture(scope="module")
def events():
    return list(scripted_decoder().stream("How many pens?", max_new_tokens=60))


@pytest.fixture(scope="module")
def trace():
    return scripted_decoder().generate(["How many pens?"], max_new_tokens=60)[0]


def test_painted_without_colour_brackets_the_teacher(events):
    assert "".join(painted(events, colour=False)) == (
        "There are 3 boxes with 4 pens. 3 x 4 = <call>2</call>[12]. The answer is <call>2</call>[12].")


def test_painted_in_colour_opens_and_closes_each_run(events):
    text = "".join(painted(events, colour=True))
    assert "\x1b[2m<call>2</call>\x1b[0m\x1b[1;33m12\x1b[0m." in text


def test_summary_counts_tokens_calls_and_ratio(trace):
    assert summary(trace, FREE).endswith("4 teacher, 6 commands; 2 calls, call ratio 11.1 %")
    assert summary(Trace((), (), (), (), (), Ledger(), StopReason.CANCELLED, ""), FREE).startswith("0 tokens")


def test_summary_with_prices_ends_with_what_the_answer_cost(trace):
    prices = Prices(student=1.0, teacher=100.0, currency="EUR")
    cost = (trace.ledger.student_tokens + 6 + 4 * 100) / 1e6
    assert summary(trace, prices) == f"{summary(trace, FREE)}; {amount(cost)} EUR"
    own = Prices(student=1.0, teacher=100.0, currency="EUR", teachers={trace.calls[0].teacher: Prices(teacher=1.0)})
    assert summary(trace, own).endswith(f"; {amount(cost - 4 * 99 / 1e6)} EUR")


@pytest.mark.parametrize(("cost", "text"), [(0.0000126543, "0.0000127"), (0, "0"), (12.3456, "12.3"), (1234.5, "1230")])
def test_amount_has_three_digits_and_no_exponent(cost, text):
    assert amount(cost) == text
