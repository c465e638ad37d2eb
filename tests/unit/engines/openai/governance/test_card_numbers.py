"""Card numbers are found as people write them, and among other numbers; ordinary numbers are none."""

from __future__ import annotations

import pytest

from relayllm.engines.openai.governance.card_numbers import card_numbers, luhn

CARD = "4111 1111 1111 1111"


def found(text):
    return [text[start:stop] for start, stop in card_numbers(text)]


@pytest.mark.parametrize(("number", "valid"), [
    ("4111 1111 1111 1111", True), ("4111 1111 1111 1112", False), ("3782-822463-10005", True)])
def test_luhn_tells_card_numbers(number, valid):
    assert luhn(number) is valid


@pytest.mark.parametrize("number", [
    CARD, "4111111111111111", "4111-1111-1111-1111", "4111.1111.1111.1111", "4111  1111  1111  1111",
    "4111\N{NO-BREAK SPACE}1111\N{NO-BREAK SPACE}1111\N{NO-BREAK SPACE}1111", "4111\N{EN DASH}1111 1111\n1111",
    " ".join("4111111111111111"), "41 11 11 11 11 11 11 11", "3782-822463-10005", "4222222222222",
    "6304 0000 0000 0000 000"])
def test_card_number_is_found_however_it_is_written(number):
    assert found(f"Pay with {number}, please") == [number]


@pytest.mark.parametrize("around", [
    "{} 12/27", "{} 12.27 123", "{} 123", "{} 1234", "12 {}", "1. {}\n2. 5555 5555 5555 4443", "2024-11-28 {}",
    "007 {} 123 45", "{}. 3 x 4"])
def test_card_number_is_found_among_other_numbers(around):
    covered = "".join(found(around.format(CARD)))
    assert CARD in covered


def test_two_cards_side_by_side_are_both_found():
    assert found(f"{CARD} 5555 5555 5555 4444") == [f"{CARD} 5555 5555 5555 4444"]
    assert found(f"{CARD} and 5555 5555 5555 4444") == [CARD, "5555 5555 5555 4444"]


@pytest.mark.parametrize("text", [
    "3 x 4 = 12", "12345 - 678 - 90123 - 4567", "1 267 650 600", "2**100 = 1267650600228229401496703205376",
    "4111 1111 1111 1112", "4111, 1111, 1111, 1111", "4111 + 1111 + 1111 + 1111", "192.168.100.100",
    "10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30", "pi is 3.14159265358979", ""])
def test_ordinary_numbers_are_no_cards(text):
    assert found(text) == []
