"""A month of traffic in money: sums by hand, and what cannot be priced."""

from __future__ import annotations

import json
from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from relayllm import RelayDecoder
from relayllm.cli import main
from relayllm.commands.plan_traffic import Traffic, measured, month, relay_answers
from relayllm.config import load_params
from relayllm.engines.openai.pool_config import PoolConfig
from relayllm.errors import ConfigError, DataError
from relayllm.relay.policy import Scripted
from relayllm.relay.prices import Prices
from tests.support.small_models import pair

ROOT = Path(__file__).parents[3]
PRICES = Prices(student=1.0, student_read=0.5, teacher=10.0, teacher_read=4.0, teacher_cached=1.0)


def test_month_two_calls_by_hand():
    # 100 tokens, two calls of 5: 28 of the student, 3 of a command, 5 of the teacher, and so on; 28 at the end.
    ledger, = (answer.ledger for answer in relay_answers(Traffic(1, 50, 100, 0.1, 2)))
    assert (ledger.student_tokens, ledger.command_tokens, ledger.teacher_tokens) == (84, 6, 10)
    assert ledger.teacher_prefilled == 50 + 28 + 28
    assert ledger.teacher_cached == 50 + 28 + 5 - 1
    assert ledger.student_prefilled == 50 + 10
    paid = month(Traffic(1000, 50, 100, 0.1, 2), PRICES)["relay"]
    assert sum(paid.values()) == pytest.approx(30_000 * (90 * 1 + 60 * 0.5 + 10 * 10 + 106 * 4 + 82 * 1) / 1e6)


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_month_counts_tokens_as_the_decoder_s_ledger_does(calls):
    student, tokenizer, teacher, theirs = pair()
    decoder = RelayDecoder.from_models(student, tokenizer, teacher, theirs)
    prompt, answer = decoder.encode("There are pens in 12 boxes"), calls * (3 + 2) + (calls + 1) * 4
    script = {0: [(4 + 9 * call, 2) for call in range(calls)]}
    trace = decoder.generate([prompt], max_new_tokens=answer, max_calls=9, policy=Scripted(script=script))[0]
    planned, = (one.ledger for one in relay_answers(Traffic(1, len(prompt), answer, trace.call_ratio, calls)))
    for name in ("student_tokens", "command_tokens", "teacher_tokens", "student_prefilled", "teacher_prefilled",
                 "teacher_cached"):
        assert getattr(planned, name) == pytest.approx(getattr(trace.ledger, name)), name


def test_month_teacher_and_student_alone_read_the_prompt_once():
    found = month(Traffic(1000, 50, 100, 0.1, 2), PRICES)
    assert sum(found["teacher alone"].values()) == pytest.approx(30_000 * (100 * 10 + 50 * 4) / 1e6)
    assert sum(found["student alone"].values()) == pytest.approx(30_000 * (100 * 1 + 50 * 0.5) / 1e6)


def test_month_answers_without_a_call_read_nothing_at_the_teacher():
    never, once = relay_answers(Traffic(1, 50, 100, 0.02, 0.25))
    assert [(one.share, one.ledger.teacher_prefilled > 0) for one in (never, once)] == [(0.75, False), (0.25, True)]
    assert once.ledger.teacher_tokens == 8


@given(st.floats(0.001, 0.9), st.floats(0.05, 12), st.integers(1, 5000), st.integers(20, 5000))
def test_month_mean_of_tokens_is_what_was_asked(ratio, calls, prompt, answer):
    most = ceil(calls)  # those that call most have room for it
    command = 2 + 4  # an answer of 5,000 tokens asks for four digits at most
    ratio = max(calls / answer, min(ratio, calls / most * (1 - command * most / answer)))
    assume(answer >= (command + 1) * most)
    answers = relay_answers(Traffic(1, prompt, answer, ratio, calls))
    assert sum(one.share for one in answers) == pytest.approx(1)
    assert sum(one.share * one.ledger.teacher_tokens for one in answers) == pytest.approx(ratio * answer)
    assert all(one.ledger.completion_tokens == pytest.approx(answer) for one in answers)
    assert all(one.ledger.student_tokens >= -1e-6 for one in answers)


POOL = PoolConfig.model_validate({"teachers": [
    {"name": "cheap", "urls": ["http://a"], "prices": {"teacher": 2, "teacher_read": 1, "teacher_cached": 0.5}},
    {"name": "strong", "urls": ["http://b"], "when": {"min_tokens": 4, "from_call": 2},
     "prices": {"teacher": 20, "teacher_read": 10}}]})


def test_month_of_a_pool_counts_each_call_at_the_prices_of_its_teacher():
    # 28 of the student, call of 5; the second call is strong's, which has read nothing of it.
    prices = replace(PRICES, teachers=POOL.prices)
    answer, = relay_answers(Traffic(1, 50, 100, 0.1, 2), POOL)
    assert [(call.teacher, call.delivered, call.read, call.cached) for call in answer.calls] == [
        ("cheap", 5, 78, 0), ("strong", 5, 78 + 5 + 28, 0)]
    found = month(Traffic(1000, 50, 100, 0.1, 2), prices, POOL)
    student = 90 * 1 + 60 * 0.5
    assert sum(found["relay"].values()) == pytest.approx(
        30_000 * (student + 5 * 2 + 78 * 1 + 5 * 20 + 111 * 10) / 1e6)
    assert sum(found["teacher cheap alone"].values()) == pytest.approx(30_000 * (100 * 2 + 50 * 1) / 1e6)
    assert sum(found["teacher strong alone"].values()) == pytest.approx(30_000 * (100 * 20 + 50 * 10) / 1e6)


def test_month_of_a_pool_asks_by_its_rules():
    short, = relay_answers(Traffic(1, 50, 100, 0.06, 2), POOL)  # calls of 3, too short for strong
    first, second = short.calls
    assert (first.teacher, second.teacher) == ("cheap", "cheap")
    assert second.cached == pytest.approx(first.read + 3 - 1)


def test_month_without_calls_is_the_student_alone():
    found = month(Traffic(10, 50, 100, 0, 0), PRICES)
    assert found["relay"] == found["student alone"]


@pytest.mark.parametrize(("options", "said"), [
    ({"requests": 0}, "--requests-per-day is 0"), ({"prompt": 0}, "--prompt-tokens is 0"),
    ({"call_ratio": 1.5}, "--call-ratio is 1.5"), ({"call_ratio": float("nan")}, "--call-ratio is nan"),
    ({"calls": -1.0}, "--calls is -1"), ({"calls": 0.0}, "give both as 0"), ({"call_ratio": 0.0}, "give both as 0"),
    ({"calls": 20.0, "call_ratio": 0.1}, "less than one each"),
    ({"calls": 0.5, "call_ratio": 0.8}, "calls with their commands are 165 tokens")])
def test_traffic_that_cannot_be_is_an_error(options, said):
    with pytest.raises(ConfigError, match=said):
        Traffic(**{"requests": 1, "prompt": 1, "answer": 100, "call_ratio": 0.1, "calls": 1.0, **options})


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a profile whose prices are known."""
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path))
    monkeypatch.delenv("RELAY_PARAMS", raising=False)
    monkeypatch.setenv("RELAY_PRICES", "student=1,student_read=0.5,teacher=10,teacher_read=4,teacher_cached=1")
    (tmp_path / "params.yaml").write_text((ROOT / "params/tiny.yaml").read_text())
    return tmp_path


def summarise(project: Path, profile: str = "tiny") -> None:
    average = {"completion_tokens": 100.0, "call_ratio": 0.1, "calls_per_answer": 2.0}
    path = project / "artifacts/report/summary.json"
    path.parent.mkdir(parents=True)
    relay = load_params(project / "params.yaml").evaluate.relay
    path.write_text(json.dumps({"profile": profile, "methods": {relay: {"average": average}}}))


def test_plan_prices_a_month_as_the_report_measured_it(project, capsys):
    summarise(project)
    assert main(["plan", "--requests-per-day", "1000", "--prompt-tokens", "50"]) == 0
    printed = capsys.readouterr().out
    assert "30,000 in 30 days, in USD (RELAY_PRICES)" in printed
    assert "2.00 calls an answer, 10.00 % of its tokens (measured" in printed
    rows = {line[:15].strip(): line[15:].split()[0] for line in printed.splitlines() if "of the teacher alone" in line}
    assert rows == {"relay": "21.78", "student alone": "3.75", "teacher alone": "36.00"}
    assert "83 % of that is reading" in printed  # 506 of 606


def test_plan_what_is_given_stands_before_what_was_measured(project, capsys):
    summarise(project)
    assert main(["plan", "--requests-per-day", "1", "--call-ratio", "0.5", "--calls", "3"]) == 0
    assert "3.00 calls an answer, 50.00 % of its tokens (given)" in capsys.readouterr().out


def test_plan_without_prices_in_the_environment_takes_the_profile_s(project, monkeypatch, capsys):
    monkeypatch.delenv("RELAY_PRICES")
    assert main(["plan", "--requests-per-day", "1", "--call-ratio", "0.5", "--calls", "3"]) == 0
    assert "(report.prices of the profile)" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "said"), [
    (["--requests-per-day", "10"], "what an answer calls is not known"),
    (["--requests-per-day", "10", "--calls", "2"], "belong together"),
    (["--calls", "2"], "give --requests-per-day, too")])
def test_plan_traffic_half_said_is_an_error_that_names_the_rest(project, capsys, words, said):
    assert main(["plan", *words]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("by", ["option", "environment"])
def test_plan_reads_the_prices_of_a_pool(project, monkeypatch, capsys, by):
    monkeypatch.setenv("RELAY_PRICES", "student=1")
    path = project / "teachers.yaml"
    path.write_text(json.dumps(POOL.model_dump()))
    if by == "environment":
        monkeypatch.setenv("RELAY_TEACHERS", str(path))
    options = ["--teacher", str(path)] if by == "option" else []
    assert main(["plan", "--requests-per-day", "1000", "--call-ratio", "0.1", "--calls", "2", "--answer-tokens", "100",
                 *options]) == 0
    printed = capsys.readouterr().out
    assert "teacher strong alone" in printed
    assert "% of teacher strong alone" in printed
    assert "by the rules and if none fails: cheap 50 %, strong 50 %" in printed


def test_plan_pool_that_is_no_pool_is_an_error(project, capsys):
    (project / "teachers.yaml").write_text("teachers: []")
    words = ["--requests-per-day", "1", "--call-ratio", "0.5", "--calls", "3"]
    assert main(["plan", *words, "--teacher", str(project / "teachers.yaml")]) == 1
    assert "is no pool of teachers" in capsys.readouterr().err


def test_plan_prices_per_second_alone_are_an_error(project, monkeypatch, capsys):
    monkeypatch.setenv("RELAY_PRICES", "teacher_second=0.001")
    assert main(["plan", "--requests-per-day", "1", "--call-ratio", "0.5", "--calls", "3"]) == 1
    assert "no token has a price" in capsys.readouterr().err


def test_measured_of_another_profile_is_not_taken(project):
    summarise(project, "smoke")
    assert measured(project, load_params(project / "params.yaml")) is None


def test_measured_broken_summary_is_an_error(project):
    summarise(project)
    (project / "artifacts/report/summary.json").write_text("{")
    with pytest.raises(DataError, match="is no summary of a report"):
        measured(project, load_params(project / "params.yaml"))
