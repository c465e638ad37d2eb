import pytest

from relayllm.evaluation.analysis.reproduction import BENCHMARKS, GENERAL, PAPER, Verdict, claims, sheet
from relayllm.evaluation.analysis.summary import Limits, Provenance, build_summary
from tests.support.make_records import make_frame


def cell(accuracy, width=0.02):
    return {"accuracy": accuracy, "accuracy_ci": [accuracy - width, accuracy + width], "call_ratio": 0.01}


def summary_of(profile, method, average, benchmarks=BENCHMARKS):
    return {"profile": profile, "methods": {method: {"average": cell(average), "benchmarks": {
        name: cell(average) for name in benchmarks}}}}


def verdict(summary, profile, method):
    return next(row.verdict for row in sheet(summary) if (row.paper.profile, row.paper.method) == (profile, method))


def test_averages_of_the_papers_rows_are_means_of_their_scores():
    for row in PAPER:
        if row.scores:
            assert sum(row.scores) / len(row.benchmarks) == pytest.approx(row.average, abs=0.015)


@pytest.mark.parametrize(("average", "expected"), [
    (0.4952, Verdict.REPRODUCED), (0.47, Verdict.REPRODUCED), (0.44, Verdict.NOT_REPRODUCED)])
def test_row_is_reproduced_within_the_errors_of_both(average, expected):
    assert verdict(summary_of("qwen3-1.7b", "relay-difficulty", average), "qwen3-1.7b", "relay-difficulty") is expected


def test_row_of_another_profile_is_not_run():
    assert verdict(summary_of("tiny", "base", 0.425), "qwen3-1.7b", "base") is Verdict.NOT_RUN


def test_row_on_fewer_benchmarks_is_not_run_but_shows_what_was():
    found = sheet(summary_of("qwen3-1.7b", "base", 0.826, ("gsm8k",)))
    row = next(row for row in found if row.benchmarks)
    assert row.verdict is Verdict.NOT_RUN
    assert row.benchmarks == {"gsm8k": 0.826}


def test_row_with_benchmarks_beside_the_papers_is_judged_over_the_six():
    summary = summary_of("qwen3-1.7b", "base", 0.425)
    summary["methods"]["base"]["benchmarks"]["bbeh"] = cell(0.10)
    summary["methods"]["base"]["average"] = cell(0.38)
    row = next(row for row in sheet(summary) if (row.paper.profile, row.paper.method) == ("qwen3-1.7b", "base"))
    assert row.verdict is Verdict.REPRODUCED
    assert row.ours["accuracy"] == pytest.approx(0.425)
    low, high = row.ours["accuracy_ci"]
    assert high - low == pytest.approx(2 * 0.02 / 6**0.5)


def test_general_benchmarks_are_rows_of_their_own():
    summary = summary_of("qwen3-1.7b", "base", 0.425)
    summary["methods"]["base"]["benchmarks"] |= {name: cell(0.271, 0.003) for name in GENERAL}
    six, general = (row for row in sheet(summary) if (row.paper.profile, row.paper.method) == ("qwen3-1.7b", "base"))
    assert (six.verdict, general.verdict) == (Verdict.REPRODUCED, Verdict.REPRODUCED)
    assert general.ours["accuracy"] == pytest.approx(0.271)
    summary["methods"]["base"]["benchmarks"]["bbeh"] = cell(0.2, 0.003)
    assert [row.verdict for row in sheet(summary) if row.ours] == [Verdict.REPRODUCED, Verdict.NOT_REPRODUCED]


def claims_of(methods):
    return claims(build_summary(make_frame(methods), Provenance("tiny", 0, "", "", {}), Limits(4, 99), bootstrap=200,
                                relay="relay-difficulty"))


def test_claims_hold_for_a_relay_that_is_as_good_as_the_papers():
    found = claims_of(("base", "grpo", "random-position", "relay-difficulty", "teacher"))
    verdicts = [claim.verdict for claim in found]
    assert verdicts[:4] == [Verdict.REPRODUCED] * 4
    assert verdicts[4] is Verdict.NOT_REPRODUCED  # 2.6 % tokens at 90 % of the gap: 97 % fewer
    assert found[0].sure


def test_claims_without_records_are_not_run():
    assert {claim.verdict for claim in claims_of(("base",))} == {Verdict.NOT_RUN}
