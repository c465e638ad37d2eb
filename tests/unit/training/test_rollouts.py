"""From traces to what TRL is told: groups, rewards, masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from relayllm.config import GrpoRun, load_params
from relayllm.errors import TrainingError
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.rewards import Scenario
from relayllm.training.rollouts import Rollouts, as_trl
from tests.support.make_traces import make_trace
from tests.support.small_models import pair

CONFIG = load_params(Path("params/smoke.yaml")).grpo.model_copy(update={"group_size": 2})
EASY = Problem("a", "A box has 2 pens. How many are in 3 boxes?", "6", "pens")
HARD = Problem("b", "A box has 17 pens. How many are in 23 boxes?", "391", "pens")
RIGHT, WRONG = "So it is \\boxed{6}.", "So it is \\boxed{7}."


PRICES = {"student": 1.0, "student_read": 0.0, "student_cached": 0.0, "teacher": 100.0, "teacher_read": 0.0,
          "teacher_cached": 0.0, "student_second": 0.0, "teacher_second": 0.0, "currency": "USD"}


def rollouts(decoder=None, run=CONFIG.runs["relay-difficulty"]) -> Rollouts:
    problems = {problem.id: problem for problem in (EASY, HARD)}
    return Rollouts(CONFIG, run, problems, lambda model: decoder)


def ids(*problems: Problem) -> list[str]:
    return [problem.id for problem in problems for _ in range(2)]


def ask(*problems: Problem) -> list:
    return [messages(problem) for problem in problems for _ in range(2)]


def test_grade_rewards_each_group_by_its_own_scenario():
    traces = [make_trace(RIGHT, "sss"), make_trace(WRONG, "sss"),
              make_trace("\\boxed{391}", "sscccttsss", requested=(2,)), make_trace("\\boxed{390}", "sss")]
    graded = rollouts().grade(ids(EASY, HARD), traces)
    assert [one.reward for one in graded] == [1.5, 0.0, pytest.approx(0.8), -1.0]
    assert [one.scenario for one in graded] == [Scenario.STUDENT_SOLVABLE] * 2 + [Scenario.TEACHER_DEPENDENT] * 2


def test_grade_pays_delivered_tokens_not_requested_ones():
    """`<call>4096</call>` on a problem nobody solves earned 1.0 in the released code; here 2 of 10 tokens came."""
    traces = [make_trace(WRONG, "sscccttsss", requested=(4096,)), make_trace(WRONG, "ssssssssss")]
    graded = rollouts().grade(ids(EASY), traces)
    assert [one.reward for one in graded] == [pytest.approx(0.2), 0.0]
    assert graded[0].outcome.call_ratio == pytest.approx(0.2)


def test_grade_in_money_pays_less_the_price_of_what_each_wrote():
    run = GrpoRun.model_validate({"reward": {"name": "money", "weight": 2.0, "prices": PRICES}, "max_calls": 4})
    traces = [make_trace(RIGHT, "sss"), make_trace(RIGHT, "sscccttsss", requested=(2,))]
    graded = rollouts(run=run).grade(ids(EASY), traces)
    assert [one.reward for one in graded] == pytest.approx([1 - 2 * 3e-3, 1 - 2 * (8e-3 + 2e-1)])


def test_grade_in_money_counts_the_calls_of_a_pool_at_their_teachers_prices(tmp_path, monkeypatch):
    pool = tmp_path / "pool.yaml"
    pool.write_text("teachers:\n- {name: dear, urls: ['http://a'], prices: {teacher: 1000}}\n"
                    "- {name: plain, urls: ['http://b']}\n", encoding="utf-8")
    monkeypatch.setenv("RELAY_TEACHERS", str(pool))
    run = GrpoRun.model_validate({"reward": {"name": "money", "weight": 2.0, "prices": PRICES}, "max_calls": 4})
    told = make_trace(RIGHT, "sscccttsss", requested=(2,))
    asked = [replace(told, calls=tuple(replace(call, teacher=name) for call in told.calls))
             for name in ("dear", "plain")]
    graded = rollouts(run=run).grade(ids(EASY), asked)
    assert [one.reward for one in graded] == pytest.approx([1 - 2 * (8e-3 + 2.0), 1 - 2 * (8e-3 + 2e-1)])


def test_grade_reads_calls_off_the_trace_not_off_the_text():
    traces = [make_trace(RIGHT + " <call>3</call>", "sss"), make_trace(RIGHT, "cccts", requested=(1,))]
    graded = rollouts().grade(ids(EASY), traces)
    assert [one.outcome.called for one in graded] == [False, True]
    assert [one.reward for one in graded] == [1.5, pytest.approx(0.8)]


def test_grade_group_with_a_failed_teacher_is_dropped_as_a_whole():
    traces = [make_trace(RIGHT, "sss"), make_trace(WRONG, "scccs", requested=(3,), degraded=True),
              make_trace("\\boxed{391}", "sss"), make_trace("\\boxed{391}", "sss")]
    graded = rollouts().grade(ids(EASY, HARD), traces)
    assert [one.reward for one in graded] == [None, None, 1.5, 1.5]


@pytest.mark.parametrize("problem_ids", [["a"], ["a", "b"], ["a", "a", "b"]])
def test_grade_incomplete_group_raises(problem_ids):
    traces = [make_trace(RIGHT, "sss")] * len(problem_ids)
    with pytest.raises(TrainingError, match="whole groups"):
        rollouts().grade(problem_ids, traces)


def test_grade_two_problems_with_one_question_are_told_apart_by_id():
    twins = [Problem(name, EASY.question, answer, "pens") for name, answer in (("six", "6"), ("seven", "7"))]
    both = Rollouts(CONFIG, CONFIG.runs["relay-difficulty"], {twin.id: twin for twin in twins}, lambda model: None)
    graded = both.grade(ids(*twins), [make_trace(RIGHT, "sss")] * 4)
    assert [one.outcome.correct for one in graded] == [True, True, False, False]


def test_as_trl_masks_the_teachers_tokens_and_keeps_the_commands():
    traces = [make_trace(RIGHT, "sscccttsss", requested=(2,)), make_trace(RIGHT, "ss")]
    told = as_trl(rollouts().grade(ids(EASY), traces))
    assert told["env_mask"] == [[1, 1, 1, 1, 1, 0, 0, 1, 1, 1], [1, 1]]
    assert told["completion_ids"] == [list(range(10, 20)), [10, 11]]
    assert told["prompt_ids"] == [[1, 2, 3], [1, 2, 3]]
    assert told["logprobs"][0][5:7] == [0.0, 0.0]
    assert told["logprobs"][1] == [-0.5, -1.5]
    assert told["relay_reward"] == [pytest.approx(0.8), 1.5]


def test_decode_samples_every_prompt_within_the_configured_budget():
    from relayllm import RelayDecoder

    decoder = RelayDecoder.from_models(*pair())
    prompts = ask(EASY, HARD)
    traces = rollouts().decode(decoder, prompts, seed=1)
    assert len(traces) == 4
    assert traces[0].token_ids != traces[1].token_ids
    assert all(len(trace.token_ids) <= CONFIG.decoding.max_new_tokens for trace in traces)
    assert all(call.requested <= CONFIG.decoding.max_call_tokens for trace in traces for call in trace.calls)
    assert [trace.token_ids for trace in rollouts().decode(decoder, prompts, seed=1)] == [
        trace.token_ids for trace in traces]
    assert [trace.token_ids for trace in rollouts().decode(decoder, prompts, seed=2)] != [
        trace.token_ids for trace in traces]


def test_decode_run_without_calls_never_calls():
    from relayllm import RelayDecoder

    alone = rollouts()
    alone.run = alone.run.model_copy(update={"max_calls": 0})
    traces = alone.decode(RelayDecoder.from_models(*pair()), ask(EASY, HARD) * 4, seed=1)
    assert not any(trace.calls for trace in traces)
