"""From a wanted call ratio to a bias."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayllm.errors import ConfigError
from relayllm.relay.bias_curve import BiasCurve

POINTS = [{"call_bias": 15.0, "call_ratio": 0.4}, {"call_bias": -15.0, "call_ratio": 0.0},
          {"call_bias": -10.0, "call_ratio": 0.02}, {"call_bias": -5.0, "call_ratio": 0.04},
          {"call_bias": 0.0, "call_ratio": 0.04}, {"call_bias": 7.5, "call_ratio": 0.039}]
CURVE = BiasCurve.from_points(POINTS)


@pytest.mark.parametrize(("wanted", "bias"), [(0.0, -15.0), (0.02, -10.0), (0.03, -7.5), (0.4, 15.0)])
def test_bias_lies_on_the_line_between_what_was_measured(wanted, bias):
    assert CURVE.bias_for(wanted) == pytest.approx(bias)


def test_bias_for_what_the_model_spends_by_itself_is_none():
    assert CURVE.bias_for(0.04) == 0.0


@pytest.mark.parametrize("wanted", [0.41, 1.0, -0.1, float("nan")])
def test_ratio_out_of_reach_raises_with_the_reach(wanted):
    with pytest.raises(ConfigError, match=r"0\.0000 to 0\.4000"):
        CURVE.bias_for(wanted)


def test_one_measured_point_reaches_itself():
    one = BiasCurve.from_points([{"call_bias": 0.0, "call_ratio": 0.04}])
    assert one.bias_for(0.04) == 0.0
    with pytest.raises(ConfigError, match=r"call_ratio is 0\.05"):
        one.bias_for(0.05)


@given(st.lists(st.tuples(st.floats(-30, 30), st.floats(0, 1)), min_size=2, unique_by=lambda point: point[0]),
       st.floats(0, 1), st.floats(0, 1))
def test_more_is_never_asked_for_by_less_bias(pairs, one, other):
    curve = BiasCurve.from_points([{"call_bias": bias, "call_ratio": ratio} for bias, ratio in pairs])
    low, high = curve.call_ratios[0], curve.call_ratios[-1]
    less, more = sorted(min(high, low + share * (high - low)) for share in (one, other))
    assert curve.bias_for(less) <= curve.bias_for(more) + 1e-6
