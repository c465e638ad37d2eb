"""Settings that spend what they should on training problems."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayllm import RelayDecoder
from relayllm.config import load_params
from relayllm.evaluation.calibration import CLOSE, HALVINGS, WIDEST, Calibration, Setting, bisect
from relayllm.evaluation.cost import Cost
from relayllm.evaluation.routers.entropy import EntropyRouter
from relayllm.evaluation.routers.router import TokenizerPair
from relayllm.problems.problem import Problem
from relayllm.relay.bias_curve import OWN
from tests.support.small_models import pair

SMOKE = load_params(Path("params/smoke.yaml")).evaluate
CONFIG = SMOKE.model_copy(update={"decoding": SMOKE.decoding.model_copy(update={"max_new_tokens": 24})})
PENS = [Problem(f"pens-{index}", f"A box has {index} pens. How many are in 3 boxes?", str(3 * index), "pens")
        for index in range(8)]


class Eager:
    """A small pair whose student wants to call by five logits more."""

    def __init__(self):
        self._decoder = RelayDecoder.from_models(*pair())
        self.tokenizer = self._decoder.tokenizer

    def generate(self, prompts, call_bias=0.0, **options):
        return self._decoder.generate(prompts, call_bias=call_bias + 5.0, **options)


@pytest.fixture(scope="module")
def decoder():
    return Eager()


@given(st.floats(0.001, 0.999), st.floats(-25, 25), st.booleans())
def test_bisect_spends_the_target_or_less_and_is_near_it(target, middle, falling):
    """Spending is a steep curve around `middle`, as that of a policy that is sure of its calls."""
    sign = -1 if falling else 1

    def spent(bias):
        return 1 / (1 + math.exp(-sign * (bias - middle)))

    found = bisect(spent, target, cheap=-sign * 64, dear=sign * 64)
    assert spent(found) <= target
    step = 128 / 2**HALVINGS
    assert spent(found) >= CLOSE * target or spent(found + sign * step) > target


def test_bisect_of_what_no_setting_spends_is_the_cheap_end():
    assert bisect(lambda bias: 0.5, 0.1, cheap=-30.0, dear=0.0) == -30.0


@pytest.mark.parametrize("multiple", [0.25, 0.5, 1.5])
def test_call_setting_spends_the_multiple_or_the_most_below_it(decoder, multiple):
    calibration = Calibration(PENS, CONFIG)
    setting = calibration.call_setting("asked", multiple, decoder)
    found, own = calibration.found["asked"], calibration.bias_curve[OWN]
    assert 0 < own < 1
    assert found.target == pytest.approx(multiple * own)
    assert found.call_ratio == calibration.bias_curve[setting] <= found.target
    dearer = [ratio for tried, ratio in calibration.bias_curve.items() if tried > setting]
    assert found.call_ratio >= CLOSE * found.target or min(dearer) > found.target


def test_less_is_fewer_calls_and_more_is_longer_ones(decoder):
    calibration = Calibration(PENS, CONFIG)
    less, more = (calibration.call_setting("asked", multiple, decoder) for multiple in (0.5, 1.5))
    assert (less.call_bias < 0, less.min_call_tokens) == (True, 1)
    assert (more.call_bias, more.min_call_tokens > 1) == (0.0, True)


def test_call_setting_of_more_than_the_budget_allows_is_the_longest(decoder):
    calibration = Calibration(PENS, CONFIG)
    setting = calibration.call_setting("call-ratio-99x", 99.0, decoder)
    assert setting == max(calibration.bias_curve)
    assert setting.min_call_tokens >= CONFIG.decoding.max_new_tokens - 1
    assert not calibration.found["call-ratio-99x"].reached


def test_call_setting_of_nothing_bans_calls(decoder):
    calibration = Calibration(PENS, CONFIG)
    assert -WIDEST <= calibration.call_setting("call-ratio-0x", 0.0, decoder).call_bias < 0
    assert calibration.found["call-ratio-0x"].call_ratio == 0.0


def test_call_setting_of_a_student_that_never_calls_is_left_alone(decoder):
    silent = CONFIG.model_copy(update={"decoding": CONFIG.decoding.model_copy(update={"max_calls": 0})})
    calibration = Calibration(PENS, silent)
    assert calibration.call_setting("call-ratio-2x", 2.0, decoder) == OWN


def test_setting_says_whether_its_target_was_seen():
    assert Setting(0.1, 0.2, 0.2, (0.0, 0.5)).warning("entropy") == ""
    warning = Setting(0.0, 0.1, 0.3, (0.0, 0.1)).warning("glimp")
    assert warning.startswith("glimp was asked for a call ratio of 0.3000")
    assert "0.0000 to 0.1000" in warning


def test_threshold_is_an_entropy_that_never_spends_more_than_the_relay(decoder):
    calibration = Calibration(PENS, CONFIG)
    tokenizers = TokenizerPair(decoder.tokenizer, decoder.tokenizer, True)
    threshold = calibration.threshold("entropy", EntropyRouter(), decoder, tokenizers, Cost(0.2, 3))["policy"].threshold
    assert 0 < threshold < math.log(len(decoder.tokenizer))
    assert 0 < calibration.found["entropy"].call_ratio <= 0.2
