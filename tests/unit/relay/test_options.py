"""What a request may ask, and what is refused with the value and the range."""

import pytest

from relayllm.errors import ConfigError
from relayllm.relay.options import Options


@pytest.mark.parametrize(("name", "value"), [
    ("max_new_tokens", 0), ("temperature", -0.1), ("max_calls", -1), ("max_call_tokens", 0),
    ("teacher_temperature", -1), ("top_logprobs", -1), ("top_p", 0), ("top_p", 1.1), ("call_bias", float("nan"))])
def test_options_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=name):
        Options(**{name: value})


def test_options_empty_stop_string_is_refused():
    with pytest.raises(ConfigError, match="stop"):
        Options(stop=("a", ""))


def test_options_bias_may_ban_calls():
    assert Options(call_bias=float("-inf")).call_bias == float("-inf")
