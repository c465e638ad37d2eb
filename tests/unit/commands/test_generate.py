"""The terminal's view of an answer."""

from __future__ import annotations

import pytest

from relayllm.commands.generate import painted, summary
from tests.support.fakes_serving import scripted_decoder


@pytest.fixture(scope="module")
def events():
    return list(scripted_decoder().stream("How many pens?", max_new_tokens=60))


def test_painted_without_colour_brackets_the_teacher(events):
    assert "".join(painted(events, colour=False)) == (
        "There are 3 boxes with 4 pens. 3 x 4 = <call>2</call>[12]. The answer is <call>2</call>[12].")


def test_painted_in_colour_opens_and_closes_each_run(events):
    text = "".join(painted(events, colour=True))
    assert "\x1b[2m<call>2</call>\x1b[0m\x1b[1;33m12\x1b[0m." in text


def test_summary_counts_tokens_calls_and_ratio(events):
    assert summary(events).endswith("4 teacher, 6 commands; 2 calls, call ratio 11.1 %")
    assert summary([]).startswith("0 tokens")
