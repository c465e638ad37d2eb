"""Answering benchmarks: options per benchmark, records, and the routers drawn from them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from relayllm import RelayDecoder
from relayllm.config import load_params
from relayllm.errors import ConfigError
from relayllm.evaluation.answering import Models, answer, cost_of, options_of, random_query
from relayllm.evaluation.calibration import Calibration
from relayllm.evaluation.methods import Cost, method
from relayllm.problems.problem import Problem
from tests.support.small_models import make_model, pair
from tests.unit.evaluation.make_records import make_records

SMOKE = load_params(Path("params/smoke.yaml")).evaluate
CONFIG = SMOKE.model_copy(update={"decoding": SMOKE.decoding.model_copy(update={"max_new_tokens": 24})})
PENS = [Problem(f"pens-{index}", f"A box has {index} pens. How many are in 3 boxes?", str(3 * index), "pens")
        for index in range(3)]
AIME = [Problem("aime-1", "Find x.", "7", "aime-2024")]


class OneDecoder:
    """Stands for the evaluation's models: every method is answered by the same small pair."""

    def writer(self, chosen):
        student, tokenizer, teacher, theirs = pair()
        return RelayDecoder.from_models(student, tokenizer, *((teacher, theirs) if chosen.helped else ()))


def answers(name: str, benchmarks, cost=None, **changes):
    config = CONFIG.model_copy(update=changes)
    return answer(method(name, ["relay-difficulty"], "relay-difficulty"), OneDecoder(), benchmarks, config, cost=cost,
                  calibration=Calibration(PENS, config), say=lambda line: None)


def test_options_are_greedy_where_one_answer_counts_and_sampled_where_many_do():
    assert options_of(CONFIG, "pens")["temperature"] == 0.0
    assert options_of(CONFIG, "gsm8k")["temperature"] == 0.0
    sampled = options_of(CONFIG, "aime-2024")
    assert (sampled["temperature"], sampled["n"]) == (CONFIG.decoding.temperature, 32)


def test_answer_gives_a_record_per_problem_and_sample():
    records = answers("relay-difficulty", {"pens": PENS, "aime-2024": AIME})
    assert [(record.benchmark, record.problem_id) for record in records[:3]] == [("pens", one.id) for one in PENS]
    assert [record.sample for record in records[3:]] == list(range(32))
    assert {record.method for record in records} == {"relay-difficulty"}
    assert records[0].gold == "0"


def test_answer_is_the_same_twice():
    first, second = (answers("relay-difficulty", {"aime-2024": AIME}) for _ in range(2))
    assert [record.text for record in first] == [record.text for record in second]


def test_answer_rival_without_the_relays_cost_raises():
    with pytest.raises(ConfigError, match=r"random-position.*evaluate\.methods"):
        answers("random-position", {"pens": PENS})


def test_answer_random_position_calls_for_the_relays_n():
    records = answers("random-position", {"pens": PENS}, cost=Cost(0.4, 4))
    assert {n for record in records for n in record.requested} == {4}
    assert all(record.command_tokens == 0 for record in records)


def test_answer_teacher_free_never_asks():
    assert sum(record.calls for record in answers("teacher-free", {"pens": PENS})) == 0


def test_answer_entropy_never_spends_more_than_the_relay():
    records = answers("entropy", {"pens": PENS}, cost=Cost(0.2, 3))
    assert 0 < sum(record.call_ratio for record in records) / len(records) <= 0.2 + 1e-9


def test_answer_dial_turned_off_is_the_student_without_calls():
    silent, free = answers("call-ratio-0x", {"pens": PENS}), answers("teacher-free", {"pens": PENS})
    assert [record.text for record in silent] == [record.text for record in free]


def test_other_teacher_writes_what_the_relay_asks_for(tmp_path):
    student, tokenizer, teacher, theirs = pair()
    other = make_model("qwen3", theirs, seed=9)
    for folder, model, words in (("grpo/relay-difficulty/model", student, tokenizer), ("teacher", teacher, theirs),
                                 ("others/second", other, theirs)):
        model.save_pretrained(tmp_path / folder)
        words.save_pretrained(tmp_path / folder)
    models = Models(*(tmp_path / name for name in ("base", "warmup", "teacher", "others", "grpo")))
    runs, often = ["relay-difficulty"], {"call_bias": 50.0, "max_new_tokens": 24}
    said = {name: models.decoder(method(name, runs, runs[0], ["second"])).generate(["There are"], **often)[0].text
            for name in ("relay-difficulty", "other-teacher-second")}
    wanted = [RelayDecoder.from_models(student, tokenizer, helper, theirs).generate(["There are"], **often)[0].text
              for helper in (teacher, other)]
    assert list(said.values()) == wanted
    assert wanted[0] != wanted[1]


def test_cost_is_the_reports_mean_ratio_and_the_mean_n():
    large, small = (make_records("relay-difficulty", problems=count, benchmarks=(name,))
                    for name, count in (("pens", 50), ("puzzles", 2)))
    small = [replace(row, call_ratio=0.5) for row in small]
    rows = [*large, *small]
    cost = cost_of(rows)
    assert cost.call_ratio == pytest.approx((sum(row.call_ratio for row in large) / 50 + 0.5) / 2)
    assert cost.mean_n == 3
    assert cost_of([]) == Cost(0.0, 1)


def test_random_query_draws_whole_answers_of_the_two():
    base, teacher = make_records("base", problems=100), make_records("teacher", problems=100)
    theirs = {(row.benchmark, row.problem_id): row for row in teacher}
    drawn = random_query(base, teacher, Cost(0.3, 3), seed=1)
    routed = [row for row in drawn if row.call_ratio == 1.0]
    assert 0.23 < len(routed) / len(drawn) < 0.37
    for mine, row in zip(base, drawn, strict=True):
        source = theirs[row.benchmark, row.problem_id] if row.call_ratio == 1.0 else mine
        assert (row.text, row.correct, row.method) == (source.text, source.correct, "random-query")
    assert all(row.teacher_tokens == row.completion_tokens and row.student_tokens == 0 for row in routed)


def test_random_query_with_nothing_to_spend_is_the_base():
    base, teacher = make_records("base", problems=20), make_records("teacher", problems=20)
    drawn = random_query(base, teacher, Cost(0.0, 1), seed=1)
    assert [row.text for row in drawn] == [row.text for row in base]
