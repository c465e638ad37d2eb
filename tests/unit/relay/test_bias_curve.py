"""From a wanted call ratio to how a student calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayllm.errors import ConfigError
from relayllm.relay.bias_curve import OWN, BiasCurve, CallSetting

POINTS = [{"call_bias": 0.0, "min_call_tokens": 41, "call_ratio": 0.4}, {"call_bias": -15.0, "call_ratio": 0.0},
          {"call_bias": -10.0, "call_ratio": 0.02}, {"call_bias": -5.0, "call_ratio": 0.04},
          {"call_bias": 0.0, "call_ratio": 0.04}, {"call_bias": 0.0, "min_call_tokens": 11, "call_ratio": 0.1}]
CURVE = BiasCurve.from_points(POINTS)


@pytest.mark.parametrize(("wanted", "setting"), [
    (0.0, CallSetting(-15.0)), (0.02, CallSetting(-10.0)), (0.03, CallSetting(-7.5)),
    (0.07, CallSetting(min_call_tokens=6)), (0.25, CallSetting(min_call_tokens=26)),
    (0.4, CallSetting(min_call_tokens=41))])
def test_setting_lies_on_the_line_between_what_was_measured(wanted, setting):
    found = CURVE.setting_for(wanted)
    assert found.call_bias == pytest.approx(setting.call_bias)
    assert found.min_call_tokens == setting.min_call_tokens


def test_what_the_model_spends_by_itself_is_its_own_setting():
    assert CURVE.setting_for(0.04) == OWN


@pytest.mark.parametrize("wanted", [0.41, 1.0, -0.1, float("nan")])
def test_ratio_out_of_reach_raises_with_the_reach(wanted):
    with pytest.raises(ConfigError, match=r"0\.0000 to 0\.4000"):
        CURVE.setting_for(wanted)


def test_one_measured_point_reaches_itself():
    one = BiasCurve.from_points([{"call_bias": 0.0, "call_ratio": 0.04}])
    assert one.setting_for(0.04) == OWN
    with pytest.raises(ConfigError, match=r"call_ratio is 0\.05"):
        one.setting_for(0.05)


def test_curve_of_an_older_package_adds_calls_by_a_bias():
    old = BiasCurve.from_points([{"call_bias": 0.0, "call_ratio": 0.04}, {"call_bias": 8.0, "call_ratio": 0.12}])
    assert old.setting_for(0.08) == CallSetting(call_bias=pytest.approx(4.0))


@given(st.floats(-30, 200))
def test_setting_at_a_place_stands_there(place):
    setting = CallSetting.at(place)
    assert setting.place == (place if place < 0 else round(place))
    assert (setting.call_bias < 0) == (place < 0)
    assert (setting.min_call_tokens > 1) == (round(place) > 0)


@given(st.lists(st.tuples(st.floats(-30, 60), st.floats(0, 1)), min_size=2,
                unique_by=lambda point: CallSetting.at(point[0])), st.floats(0, 1), st.floats(0, 1))
def test_more_is_never_asked_for_by_less(pairs, one, other):
    curve = BiasCurve.from_points([{**CallSetting.at(place).options(), "call_ratio": ratio} for place, ratio in pairs])
    low, high = curve.call_ratios[0], curve.call_ratios[-1]
    less, more = sorted(min(high, low + share * (high - low)) for share in (one, other))
    assert curve.setting_for(less).place <= curve.setting_for(more).place + 1e-6
