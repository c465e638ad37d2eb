"""How a profile's decoding becomes options of the decoder."""

from __future__ import annotations

from relayllm.config import Decoding
from relayllm.relay.options import Options

SAMPLED = Decoding(max_new_tokens=24, temperature=1.0, top_p=0.9, teacher_temperature=0.7, max_calls=3,
                   max_call_tokens=9, slots=8, enable_thinking=None)


def test_options_are_those_of_the_decoder_and_the_number_of_rows():
    assert set(SAMPLED.options()) - {"slots"} <= set(Options.__dataclass_fields__)
    assert SAMPLED.options()["top_p"] == 0.9


def test_greedy_changes_both_temperatures_and_nothing_else():
    greedy = SAMPLED.greedy().options()
    assert (greedy["temperature"], greedy["teacher_temperature"]) == (0.0, 0.0)
    assert {name: value for name, value in greedy.items() if "temperature" not in name} == {
        name: value for name, value in SAMPLED.options().items() if "temperature" not in name}
    assert SAMPLED.temperature == 1.0
