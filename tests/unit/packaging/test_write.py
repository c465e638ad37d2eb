"""What goes into a package."""

import pandas as pd
import pytest
import yaml

from relayllm.config import Decoding, PackageConfig
from relayllm.errors import ConfigError, DataError
from relayllm.packaging.folder import ParityCase, TeacherSource
from relayllm.packaging.parity import parity_cases, same_as_evaluated
from relayllm.packaging.write import package_record, pins, problem_scores, teacher_source
from relayllm.relay.prices import Prices
from tests.support.fake_decoder import FakeDecoder
from tests.support.places import ROOT
from tests.support.small_packages import DECODING, score


def records(*rows):
    columns = ["benchmark", "problem_id", "sample", "correct", "teacher_tokens", "completion_tokens", "question",
               "gold", "text"]
    return pd.DataFrame([[*row, "How many?", "4", "ab"] for row in rows], columns=columns)


ROWS = records(("pens", "p0", 0, True, 2, 40), ("pens", "p1", 0, False, 0, 20), ("pens", "p2", 0, True, 0, 20),
               ("boxes", "b0", 0, True, 1, 10), ("boxes", "b0", 1, False, 3, 30))


def test_read_outcomes_averages_samples():
    found = problem_scores(ROWS)
    assert found["boxes"]["b0"] == (0.5, 2.0, 20.0)
    assert list(found["pens"]) == ["p0", "p1", "p2"]


def test_parity_cases_go_round_the_benchmarks_and_are_greedy():
    decoder = FakeDecoder()
    cases = parity_cases(ROWS, 3, decoder, Decoding(**{**DECODING, "temperature": 1.0, "teacher_temperature": 0.7}))
    assert [case.problem_id for case in cases] == ["p0", "b0", "p1"]
    assert (decoder.options["temperature"], decoder.options["teacher_temperature"]) == (0.0, 0.0)
    assert cases[0].token_ids == (5, 6, 7, 8)


def test_teacher_source_of_the_hub_is_the_one_of_relay_params(tmp_path, monkeypatch):
    params = yaml.safe_load((ROOT / "params/qwen3-0.6b.yaml").read_text())
    params["base_models"]["teacher"] = {"kind": "hub", "id": "Qwen/Other", "revision": "abc"}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path))
    monkeypatch.setenv("RELAY_PARAMS", str(tmp_path / "other.yaml"))
    config = PackageConfig(method="a", registered_name="b", teacher="hub", decoding=Decoding(**DECODING))
    assert teacher_source(config) == TeacherSource("hub", "Qwen/Other", "abc")


def test_parity_cases_without_records_says_so():
    with pytest.raises(DataError, match="empty"):
        parity_cases(ROWS.head(0), 3, FakeDecoder(), Decoding(**DECODING))


def test_same_as_evaluated_looks_at_greedy_benchmarks_only():
    cases = [ParityCase("pens", "p0", "", "ab", ()), ParityCase("pens", "p1", "", "other", ()),
             ParityCase("boxes", "b0", "", "other", ())]
    assert same_as_evaluated(ROWS, cases) == [True, False]


def test_package_record_of_a_method_nobody_evaluated_names_those_there_are():
    config = PackageConfig(method="relay-simple", registered_name="relay-decoder", teacher="embedded",
                           decoding=Decoding.model_validate(DECODING))
    summary = {"methods": {"relay-difficulty": {"average": score(0.5), "benchmarks": {}}}, "bias_curve": None}
    with pytest.raises(ConfigError, match="relay-difficulty"):
        package_record(config, summary, TeacherSource("embedded"), [])


def test_package_record_ships_the_bias_curve_of_its_own_policy_and_where_it_stands():
    config = PackageConfig(method="relay-difficulty", registered_name="relay-decoder", teacher="embedded",
                           decoding=Decoding.model_validate(DECODING))
    curve = {"relay": "relay-difficulty", "points": [{"call_bias": 0.0}], "training": [{"call_bias": -9.0}]}
    summary = {"methods": {"relay-difficulty": {"average": score(0.5), "benchmarks": {}}}, "bias_curve": curve}
    record = package_record(config, summary, TeacherSource("embedded"), [])
    assert record["bias_curve"] == {"points": [{"call_bias": 0.0}], "training": [{"call_bias": -9.0}]}
    assert record["decoding"]["call_bias"] == 0.0
    other = package_record(config, {**summary, "bias_curve": {**curve, "relay": "grpo"}}, TeacherSource("embedded"), [])
    assert other["bias_curve"] is None


def test_package_record_ships_the_prices_that_it_was_evaluated_at(monkeypatch):
    config = PackageConfig(method="relay-difficulty", registered_name="relay-decoder", teacher="embedded",
                           decoding=Decoding.model_validate(DECODING))
    summary = {"methods": {"relay-difficulty": {"average": score(0.5), "benchmarks": {}}}, "bias_curve": None}
    assert package_record(config, summary, TeacherSource("embedded"), [])["prices"] is None
    monkeypatch.setenv("RELAY_PRICES", "teacher=2.5")
    record = package_record(config, summary, TeacherSource("embedded"), [])
    assert Prices.of(record["prices"]) == Prices(teacher=2.5)


def test_package_record_ships_what_its_answers_cost_in_the_report():
    config = PackageConfig(method="relay-difficulty", registered_name="relay-decoder", teacher="embedded",
                           decoding=Decoding.model_validate(DECODING))
    paid = {"cost": 0.0127, "cost_ci": [0.012, 0.013], "of_teacher": 0.05, "read_share": 0.9}
    summary = {"methods": {"relay-difficulty": {"average": score(0.5), "benchmarks": {}}}, "bias_curve": None,
               "money": {"prices": {"currency": "EUR"}, "answers": 1000, "methods": {"relay-difficulty": paid}}}
    record = package_record(config, summary, TeacherSource("embedded"), [])
    assert record["cost"] == {"currency": "EUR", "answers": 1000, **paid}
    assert package_record(config, {**summary, "money": None}, TeacherSource("embedded"), [])["cost"] is None


def test_pins_are_exact_and_names_are_normalised(tmp_path):
    (tmp_path / "c.txt").write_text("PyYAML==6.0\nscikit_learn==1.0\n# note\n")
    assert pins(tmp_path / "c.txt", ["pyyaml", "scikit-learn"]) == ["PyYAML==6.0", "scikit_learn==1.0"]
    with pytest.raises(ConfigError, match="torch"):
        pins(tmp_path / "c.txt", ["torch"])
