"""Two versions side by side, and the gates between them."""

import pytest

from relayllm.packaging.parity import ParityResult
from relayllm.registry.comparison import Comparison, Side, compare, judge
from relayllm.registry.comparison_text import to_json, to_markdown, to_text
from relayllm.registry.gates import ComparisonConfig, Gates
from tests.support.small_packages import problem_scores, score

CONFIG = ComparisonConfig(bootstrap=500, confidence=0.95, seed=0)
GATES = Gates.model_validate({"accuracy": {"max_drop": 0.05}, "floor": {"min_accuracy": 0.1, "above_student": 0.05},
                              "call_ratio": {"low": 0.01, "high": 0.3},
                              "parity": {"prompts": 4, "min_share": 1.0}, "latency": {"prompts": 1, "max_seconds": 2}})
FINE = ParityResult(4, 4, 0.5)


def version(label: str, right: int, *, call_ratio: float = 0.05, count: int = 10, **more) -> Side:
    mean = score(right / count, call_ratio)
    return Side(label, {"average": mean, "benchmarks": {"pens": mean, "boxes": mean}}, problem_scores(right, count),
                **more)


def gate(comparison: Comparison, name: str, measured: ParityResult = FINE):
    return next(gate for gate in judge(comparison, measured, GATES) if gate.name == name)


def test_compare_same_answers_differs_by_exactly_nothing():
    row = compare(version("1", 6), version("2", 6), CONFIG).average
    assert (row.difference.value, row.difference.low, row.difference.high) == (0, 0, 0)


def test_compare_two_more_of_ten_right_is_twenty_points():
    difference = compare(version("1", 5), version("2", 7), CONFIG).average.difference
    assert difference.value == pytest.approx(0.2)
    assert difference.low < 0.2 < difference.high


def test_compare_other_problems_is_unpaired_and_wider():
    paired = compare(version("1", 50, count=100), version("2", 60, count=100), CONFIG)
    apart = compare(version("1", 50, count=100), version("2", 54, count=90), CONFIG)
    assert (paired.paired, apart.paired) == (True, False)
    width = [row.difference.high - row.difference.low for row in (paired.average, apart.average)]
    assert width[1] > width[0]


def test_compare_benchmark_only_one_side_has_gives_no_difference():
    old, new = version("1", 5), version("2", 5)
    extra = Side("2", {**new.metrics, "benchmarks": {**new.metrics["benchmarks"], "trips": score(0.1)}},
                 {**new.problem_scores, "trips": {"trips-0": (0.0, 1.0, 9.0)}})
    rows = {row.name: row for row in compare(old, extra, CONFIG).rows}
    assert rows["trips"].difference is None
    assert rows["trips"].old is None
    assert rows["average"].difference.value == 0


def test_accuracy_gate_first_version_holds():
    assert gate(compare(None, version("1", 0), CONFIG), "accuracy").passed


@pytest.mark.parametrize(("right", "holds"), [(10, True), (9, True), (5, False)])
def test_accuracy_gate_holds_only_while_the_interval_stays_above_the_drop(right, holds):
    found = gate(compare(version("1", 9), version("2", right), CONFIG), "accuracy")
    assert found.passed is holds


def test_accuracy_gate_nothing_in_common_fails():
    other = Side("2", {"average": score(0.9), "benchmarks": {"trips": score(0.9)}}, {"trips": {"a": (1.0, 0.0, 9.0)}})
    assert not gate(compare(version("1", 1), other, CONFIG), "accuracy").passed


@pytest.mark.parametrize(("right", "student", "holds"), [
    (0, None, False), (1, None, True), (0, 0.0, False), (5, 0.5, False), (5, 0.45, False), (5, 0.44, True)])
def test_floor_gate_holds_above_the_minimum_and_above_the_student_alone(right, student, holds):
    found = gate(compare(None, version("1", right, student_accuracy=student), CONFIG), "floor")
    assert found.passed is holds


@pytest.mark.parametrize(("ratio", "holds"), [(0.0, False), (0.01, True), (0.3, True), (0.31, False)])
def test_call_ratio_gate_is_a_band(ratio, holds):
    assert gate(compare(None, version("1", 5, call_ratio=ratio), CONFIG), "call_ratio").passed is holds


def test_parity_gate_one_other_answer_fails_and_is_named():
    found = gate(compare(None, version("1", 5), CONFIG), "parity", ParityResult(3, 4, 0.5, ("pens-2",)))
    assert not found.passed
    assert "pens-2" in found.detail


def test_parity_gate_nothing_asked_fails():
    assert not gate(compare(None, version("1", 5), CONFIG), "parity", ParityResult(0, 0, 0.5)).passed


def test_latency_gate_slow_fails():
    assert not gate(compare(None, version("1", 5), CONFIG), "latency", ParityResult(4, 4, 2.1)).passed


def test_renderings_show_changed_params_and_failed_gates():
    old = version("1 (champion)", 9, params={"grpo.kl": "0.03", "seed": "0"}, data="aaa", seconds=0.4)
    new = version("2", 5, params={"grpo.kl": "0.1", "seed": "0"}, data="bbb", seconds=0.5)
    comparison = compare(old, new, CONFIG)
    gates = judge(comparison, FINE, GATES)
    for text in (to_text(comparison, gates), to_markdown(comparison, gates)):
        assert "grpo.kl: 0.03 -> 0.1" in text
        assert "data set: aaa -> bbb" in text
        assert "seed: " not in text
    assert "FAILS  accuracy" in to_text(comparison, gates)
    assert to_json(comparison, gates)["params"] == [["grpo.kl", "0.03", "0.1"]]


def test_renderings_tell_what_answers_cost_before_and_now():
    paid = {"currency": "EUR", "answers": 1000, "cost": 0.01234567, "of_teacher": 0.046}
    old, new = version("1", 5, cost={**paid, "cost": 0.02, "of_teacher": None}), version("2", 5, cost=paid)
    said = "price: 0.02 EUR per 1,000 answers -> 0.01235 EUR per 1,000 answers, 4.6 % of the teacher alone"
    assert said in to_text(compare(old, new, CONFIG))
    assert f"- {said}" in to_markdown(compare(old, new, CONFIG))
    assert "price: - -> 0.01235 EUR" not in to_text(compare(version("1", 5), new, CONFIG))
    assert "price: 0.01235 EUR" in to_text(compare(version("1", 5), new, CONFIG))
    assert "price" not in to_text(compare(version("1", 5), version("2", 5), CONFIG))
