"""What an answer costs."""

from dataclasses import replace
from pathlib import Path

import pytest

from relayllm.errors import ConfigError
from relayllm.relay.prices import Prices
from relayllm.relay.trace import Ledger

LEDGER = Ledger(student_tokens=900, command_tokens=100, teacher_tokens=50, student_prefilled=200,
                teacher_prefilled=400, teacher_cached=1000, student_seconds=2.0, teacher_seconds=0.5)
PRICES = Prices(student=1.0, student_read=0.5, teacher=10.0, teacher_read=2.5, teacher_cached=0.25,
                student_second=0.001, teacher_second=0.01)


def test_prices_every_kind_is_paid_per_million_or_second() -> None:
    assert PRICES.parts(LEDGER) == pytest.approx({
        "student": 0.001, "student_read": 0.0001, "student_cached": 0.0,
        "teacher": 0.0005, "teacher_read": 0.001, "teacher_cached": 0.00025,
        "student_second": 0.002, "teacher_second": 0.005})


def test_prices_of_a_student_elsewhere_count_what_its_server_read() -> None:
    ledger = replace(LEDGER, student_reread=2000, student_cached=4000)
    parts = replace(PRICES, student_cached=0.05).parts(ledger)
    assert (parts["student_read"], parts["student_cached"]) == pytest.approx((0.001, 0.0002))


def test_prices_cost_is_the_sum_of_its_parts() -> None:
    assert PRICES.cost(LEDGER) == pytest.approx(0.00985)


def test_prices_a_later_call_costs_more_for_the_same_tokens() -> None:
    later = replace(LEDGER, teacher_cached=LEDGER.teacher_cached + 8000)
    assert PRICES.cost(later) - PRICES.cost(LEDGER) == pytest.approx(0.002)


def test_prices_none_given_everything_is_free() -> None:
    prices = Prices.from_environment({})
    assert not prices.known
    assert prices.cost(LEDGER) == 0


def test_prices_in_the_variable_are_read() -> None:
    prices = Prices.from_environment({"RELAY_PRICES": "student=0.05, teacher=2.4,currency=EUR"})
    assert prices == Prices(student=0.05, teacher=2.4, currency="EUR")


@pytest.mark.parametrize(("name", "text"), [("prices.yaml", "teacher: 2.4\nteacher_read: 1\n"),
                                            ("prices.json", '{"teacher": 2.4, "teacher_read": 1}')])
def test_prices_in_a_file_are_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert Prices.from_environment({"RELAY_PRICES": str(tmp_path / name)}) == Prices(teacher=2.4, teacher_read=1)


def test_prices_go_through_a_file_unchanged() -> None:
    assert Prices.of(PRICES.as_dict()) == PRICES


@pytest.mark.parametrize(("text", "said"), [
    ("teacher=much", "teacher is 'much'"), ("teacher=-1", "teacher is -1.0"), ("teacher=nan", "teacher is nan"),
    ("teachers=1", "unknown price teachers"), ("nothing-there.yaml", "nothing-there.yaml")])
def test_prices_what_is_no_price_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Prices.from_environment({"RELAY_PRICES": text})


@pytest.mark.parametrize("given", ["- 1", "5", "teacher: yes", "teacher: '2'", "currency: 3"])
def test_prices_a_file_of_something_else_is_refused(tmp_path: Path, given: str) -> None:
    (tmp_path / "prices.yaml").write_text(given)
    with pytest.raises(ConfigError):
        Prices.from_environment({"RELAY_PRICES": str(tmp_path / "prices.yaml")})
