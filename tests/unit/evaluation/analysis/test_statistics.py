import math

import numpy as np
import pytest

from relayllm.evaluation.analysis.statistics import (
    Answers,
    Estimate,
    along,
    bootstrap,
    gap_recovered,
    matched_share,
    mean,
    reduction,
    router_accuracy,
    router_share,
)


def answers(right, samples=1):
    values = np.array(right, dtype=float).reshape(len(right) // samples, samples, 1)
    return Answers([f"p{index}" for index in range(len(values))], values)


def drawn(draws=4000, seed=0, **methods):
    return {name: columns[0] for name, columns in
            bootstrap(methods, draws=draws, seed=seed, benchmark="pens").items()}


def test_interval_of_accuracy_is_that_of_the_binomial():
    found = drawn(base=answers([1] * 30 + [0] * 70))["base"]
    assert found.value == pytest.approx(0.3)
    assert found.ci == pytest.approx((0.21, 0.39), abs=0.011)


def test_interval_of_avg_at_k_grows_with_the_spread_between_problems():
    alike = drawn(base=answers([1, 0] * 160, samples=32))["base"]
    apart = drawn(base=answers([1] * 160 + [0] * 160, samples=32))["base"]
    assert alike.value == apart.value == 0.5
    assert alike.ci == pytest.approx((0.5 - 1.96 * 0.5 / math.sqrt(320), 0.5 + 1.96 * 0.5 / math.sqrt(320)), abs=0.01)
    assert apart.ci[1] - apart.ci[0] > 0.5


def test_difference_of_methods_on_the_same_problems_is_paired():
    base = [1, 0] * 50
    relay = [1] * 10 + base[10:]
    found = drawn(base=answers(base), relay=answers(relay))
    gain = found["relay"] - found["base"]
    assert gain.value == pytest.approx(0.05)
    assert gain.ci[1] - gain.ci[0] < 0.1 < found["base"].ci[1] - found["base"].ci[0]


def test_same_seed_gives_same_draws_and_another_seed_others():
    one, same, other = (drawn(draws=50, seed=seed, base=answers([1, 0, 0, 1, 1]))["base"] for seed in (1, 1, 2))
    assert np.array_equal(one.draws, same.draws)
    assert not np.array_equal(one.draws, other.draws)


def test_draws_of_a_method_do_not_depend_on_the_others():
    alone = drawn(draws=50, base=answers([1, 0, 1], samples=1))
    beside = drawn(draws=50, base=answers([1, 0, 1]), relay=answers([1, 1, 1]))
    assert np.array_equal(alone["base"].draws, beside["base"].draws)


def test_draws_in_blocks_equal_draws_at_once(monkeypatch):
    whole = drawn(draws=64, base=answers([1, 0, 1, 1, 0]))["base"]
    monkeypatch.setattr("relayllm.evaluation.analysis.statistics.HELD_AT_ONCE", 10)
    assert np.array_equal(drawn(draws=64, base=answers([1, 0, 1, 1, 0]))["base"].draws, whole.draws)


def test_samples_not_taken_do_not_count():
    values = np.array([[[1.0], [np.nan]], [[0.0], [1.0]]])
    found = drawn(base=Answers(["a", "b"], values))["base"]
    assert found.value == pytest.approx(0.75)


def test_average_over_benchmarks_is_the_mean_of_their_means():
    parts = [Estimate(0.2, np.array([0.1, 0.3])), Estimate(0.6, np.array([0.5, 0.5]))]
    found = mean(parts)
    assert found.value == pytest.approx(0.4)
    assert found.draws == pytest.approx([0.3, 0.4])


def test_gap_is_the_share_of_the_way_to_the_teacher():
    draws = np.ones(10)
    found = gap_recovered(Estimate(0.8, 0.8 * draws), Estimate(0.5, 0.5 * draws), Estimate(0.9, 0.9 * draws))
    assert found.value == pytest.approx(0.75)
    assert found.ci == pytest.approx((0.75, 0.75))


def test_gap_to_a_teacher_that_is_no_better_has_no_interval():
    draws = np.ones(10)
    found = gap_recovered(Estimate(0.8, 0.8 * draws), Estimate(0.5, 0.5 * draws), Estimate(0.5, 0.5 * draws))
    assert math.isnan(found.value)
    assert found.ci is None


class TestThePapersNumbers:
    BASE, RELAY, TEACHER, RATIO = 42.50, 49.52, 54.12, 0.0107

    def test_share_of_the_gap(self):
        assert matched_share(self.RELAY, self.BASE, self.TEACHER) == pytest.approx(0.604, abs=5e-4)

    def test_reduction_against_the_performance_matched_router(self):
        share = matched_share(self.RELAY, self.BASE, self.TEACHER)
        assert 100 * reduction(self.RATIO, share) == pytest.approx(98.2, abs=0.05)

    def test_lead_over_the_router_at_equal_tokens(self):
        router = router_accuracy(self.BASE, self.TEACHER, self.RATIO)
        assert router == pytest.approx(42.62, abs=5e-3)
        assert self.RELAY - router == pytest.approx(6.9, abs=0.05)


def test_router_of_equal_tokens_may_send_the_relays_teacher_tokens_over_the_teachers_length():
    assert router_share(5.0, 100.0) == pytest.approx(0.05)
    assert router_share(10.0, 100.0) == pytest.approx(0.10)


def test_curve_is_read_between_its_points():
    def sure(value):
        return Estimate(value, np.full(3, value))

    points = [(sure(1.0), sure(0.9)), (sure(0.0), sure(0.3)), (sure(0.1), sure(0.5))]
    assert along(points, sure(0.05)).value == pytest.approx(0.4)
    assert along(points, sure(0.55)).draws == pytest.approx([0.7] * 3)
