import json

import pandas as pd
import pytest

from relayllm.evaluation.analysis.reward_hacking import reward_hacking
from relayllm.evaluation.analysis.summary import Limits, Provenance, all_alarms, build_summary, write_summary
from tests.support.make_records import BENCHMARKS, RecordMix, make_frame, make_records

ORIGIN = Provenance("tiny", 0, "c0ffee", "d41d8c", {"grpo": 481.23456}, enable_thinking=False)
CELL = {"accuracy", "accuracy_ci", "call_ratio", "problems", "completion_tokens", "calls_per_answer"}


def summary(frame, relay="relay-difficulty", bootstrap=200):
    return build_summary(frame, ORIGIN, Limits(max_calls=4, max_call_tokens=99), bootstrap=bootstrap, relay=relay)


@pytest.fixture(scope="module")
def whole():
    return summary(make_frame())


def test_summary_has_the_shape_of_the_contract(whole):
    assert {"profile", "seed", "git_commit", "data_md5", "methods", "gap_recovered", "seconds"} <= whole.keys()
    for method in whole["methods"].values():
        assert list(method["benchmarks"]) == list(BENCHMARKS)
        for cell in (method["average"], *method["benchmarks"].values()):
            assert cell.keys() >= CELL
            assert cell["accuracy_ci"][0] <= cell["accuracy"] <= cell["accuracy_ci"][1]
    assert whole["seconds"] == {"grpo": 481.2}
    assert whole["enable_thinking"] is False


def test_methods_stand_in_the_order_of_the_table(whole):
    names = list(whole["methods"])
    assert names[0] == "base"
    assert names[-1] == "teacher"
    assert names.index("relay-simple") < names.index("relay-difficulty")


def test_average_is_the_mean_over_benchmarks(whole):
    relay = whole["methods"]["relay-difficulty"]
    means = [cell["accuracy"] for cell in relay["benchmarks"].values()]
    assert relay["average"]["accuracy"] == pytest.approx(sum(means) / 6, abs=1e-5)


def test_gap_recovered_follows_from_the_averages(whole):
    base, relay, teacher = (whole["methods"][name]["average"]["accuracy"]
                            for name in ("base", "relay-difficulty", "teacher"))
    gap = whole["gap_recovered"]
    assert gap["value"] == pytest.approx((relay - base) / (teacher - base), abs=1e-4)
    assert gap["ci"][0] < gap["value"] < gap["ci"][1]


def test_relay_is_compared_with_base_routers_and_grpo(whole):
    against = whole["comparisons"]["against"]
    assert against["base"]["verdict"] == against["grpo"]["verdict"] == "better"
    assert against["teacher"]["verdict"] == "worse"
    exact = whole["comparisons"]["random_query"]
    ratio = whole["methods"]["relay-difficulty"]["average"]["call_ratio"]
    assert exact["at_equal_call_ratio"]["share"] == pytest.approx(ratio, abs=1e-5)
    assert exact["performance_matched"]["share"] == pytest.approx(whole["gap_recovered"]["value"])
    assert whole["comparisons"]["random_position"]["at_equal_call_ratio"]["verdict"] == "better"


def test_teacher_alone_counts_as_all_teacher_tokens_however_it_was_run():
    frame = make_frame(("base", "teacher"), problems=5)
    frame.loc[frame["method"] == "teacher", ["teacher_tokens", "call_ratio"]] = [0, 0.0]
    assert summary(frame)["methods"]["teacher"]["average"]["call_ratio"] == 1.0


def test_same_records_and_seed_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_summary(tmp_path / name, summary(make_frame(problems=20)))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_without_a_teacher_the_gap_has_no_value(tmp_path):
    found = summary(make_frame(("base", "relay-difficulty"), problems=5))
    assert found["gap_recovered"]["value"] is None
    assert found["gap_recovered"]["ci"] is None
    write_summary(tmp_path / "summary.json", found)
    assert json.loads((tmp_path / "summary.json").read_text())["methods"].keys() == {"base", "relay-difficulty"}


def test_without_the_relay_there_is_nothing_to_compare():
    assert summary(make_frame(("base", "teacher"), problems=5))["comparisons"] == {}


def test_samples_of_avg_at_k_count_as_one_problem():
    found = summary(make_frame(("base", "teacher"), problems=5, samples=8, benchmarks=("pens",)))
    cell = found["methods"]["base"]["benchmarks"]["pens"]
    assert (cell["problems"], cell["samples"]) == (5, 8)


def test_judged_accuracy_is_a_column_of_its_own():
    frame = make_frame(("base", "teacher"), problems=5)
    cell = summary(frame.assign(judged=True))["methods"]["base"]["average"]
    assert cell["accuracy_judged"] == 1.0
    assert cell["accuracy"] < 1.0


def cheat(mix, **changes):
    rows = [*make_records("base", problems=20), *make_records("relay-difficulty", problems=20, mix=mix)]
    frame = pd.DataFrame([{name: getattr(row, name) for name in row.__slots__} for row in rows])
    for column, value in changes.items():
        frame.loc[frame["method"] != "base", column] = value
    return reward_hacking(frame, max_calls=1, max_call_tokens=99)["relay-difficulty"]


def test_reward_hacking_of_a_good_relay_raises_no_alarm(whole):
    assert all_alarms(whole) == []
    assert whole["reward_hacking"]["relay-difficulty"]["mean_n"] == 3
    assert whole["reward_hacking"]["relay-difficulty"]["solved_alone"] > 0.8


def test_alarms_are_told_of_trained_policies_whatever_their_name_and_not_of_rules(whole):
    names = ("base", "no-bonus", "relay-simple", "fixed-8", "call-ratio-0.5x", "entropy", "other-teacher-x",
             "teacher-free")
    reward_hacking = {name: {"alarms": ["!"]} for name in names}
    assert all_alarms({**whole, "reward_hacking": reward_hacking}) == [("no-bonus", "!"), ("relay-simple", "!")]


def test_longer_answers_raise_the_alarm():
    assert any("dilutes" in alarm for alarm in cheat(RecordMix(0.9, 0.9, tokens=120, calls=0.5))["alarms"])


def test_n_at_its_limit_raises_the_alarm():
    assert any("n = 99" in alarm for alarm in cheat(RecordMix(0.9, 0.9, tokens=120, calls=0.5, n=99))["alarms"])


def test_all_calls_used_raises_the_alarm():
    assert any("use all 1 calls" in alarm for alarm in cheat(RecordMix(0.9, 0.9, calls=0.9, easy_calls=0.9))["alarms"])


def test_calling_where_the_student_can_do_it_alone_raises_the_alarm():
    checks = cheat(RecordMix(0.9, 0.9, calls=1, easy_calls=1))
    assert checks["solved_alone"] == 0
    assert any("solved without a call" in alarm for alarm in checks["alarms"])


def test_calls_without_content_and_in_chains_raise_the_alarm():
    segments = json.dumps([["command", "<call>1</call>"], ["command", "<call>1</call>"], ["student", "7"]])
    checks = cheat(RecordMix(0.9, 0.9, calls=1, easy_calls=1), segments=segments)
    assert checks["chained"] == 1.0
    assert any("brought no text" in alarm for alarm in checks["alarms"])
