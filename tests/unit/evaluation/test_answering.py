"""Answering benchmarks: options per benchmark, records, and what rivals are matched to."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from relayllm import RelayDecoder
from relayllm.config import load_params
from relayllm.errors import ConfigError
from relayllm.evaluation.answer_cache import AnswerCache
from relayllm.evaluation.answering import Evaluation, options_of
from relayllm.evaluation.cached_writer import CachedWriter
from relayllm.evaluation.methods import method
from relayllm.evaluation.models import Models
from relayllm.evaluation.routers.router import TokenizerPair
from relayllm.problems.problem import Problem
from tests.support.small_models import base_tokenizer, make_model, pair

SMOKE = load_params(Path("params/smoke.yaml")).evaluate
CONFIG = SMOKE.model_copy(update={"decoding": SMOKE.decoding.model_copy(update={"max_new_tokens": 24})})
PENS = [Problem(f"pens-{index}", f"A box has {index} pens. How many are in 3 boxes?", str(3 * index), "pens")
        for index in range(3)]
AIME = [Problem("aime-1", "Find x.", "7", "aime-2024")]
TRAINING = [Problem(f"train-{index}", f"There are {index} pens in 2 boxes.", str(2 * index), "pens")
            for index in range(8)]


class Counting:
    """A decoder that notes what it is asked to write."""

    def __init__(self, decoder, asked):
        self._decoder, self._asked, self.tokenizer = decoder, asked, decoder.tokenizer

    def request(self, prompt, options, **where):
        self._asked[prompt[0]["content"]] += 1
        return self._decoder.request(prompt, options, **where)

    def complete(self, requests, *, slots):
        yield from self._decoder.complete(requests, slots=slots)


@cache
def untrained():
    """A student that has never seen a command, and its tokenizer."""
    return make_model("qwen3", base_tokenizer(), seed=5), base_tokenizer()


class OnePair:
    """Stands for the evaluation's models: every method is answered by the same small pair."""

    def __init__(self, cache):
        self._cache, self.asked = AnswerCache(cache), Counter()

    def writer(self, chosen):
        student, tokenizer, teacher, theirs = pair()
        helper = (teacher, theirs) if chosen.helped else ()
        main = {"teacher": (teacher, theirs), "base": untrained()}.get(chosen.student, (student, tokenizer))
        return CachedWriter(lambda: Counting(RelayDecoder.from_models(*main, *helper), self.asked),
                            [chosen.student, str(chosen.helped)], self._cache)

    def pair(self, chosen):
        _, _, _, theirs = pair()
        return TokenizerPair(untrained()[1], theirs, True)

    def prompt_states(self, prompts, prefixes=None, *, enable_thinking=None):
        return np.array([[len(prompt[0]["content"]), 1.0] for prompt in prompts], dtype=np.float32)


@pytest.fixture
def models(tmp_path):
    return OnePair(tmp_path / "answers.sqlite")


def evaluate(models, *names, benchmarks=None, **changes):
    """Records by method, and the evaluation."""
    said = []
    evaluation = Evaluation(CONFIG.model_copy(update=changes), models, benchmarks or {"pens": PENS}, TRAINING,
                            say=said.append)
    evaluation.answer_all([method(name, ["relay-difficulty"], "relay-difficulty") for name in names])
    return evaluation.done, evaluation, said


def test_options_are_greedy_where_one_answer_counts_and_sampled_where_many_do():
    assert options_of(CONFIG, "pens")["temperature"] == 0.0
    assert options_of(CONFIG, "gsm8k")["temperature"] == 0.0
    sampled = options_of(CONFIG, "aime-2024")
    assert (sampled["temperature"], sampled["n"]) == (CONFIG.decoding.temperature, 32)


def test_answers_are_a_record_per_problem_and_sample(models):
    done, _, _ = evaluate(models, "relay-difficulty", benchmarks={"pens": PENS, "aime-2024": AIME})
    records = done["relay-difficulty"]
    assert [(record.benchmark, record.problem_id) for record in records[:3]] == [("pens", one.id) for one in PENS]
    assert [record.sample for record in records[3:]] == list(range(32))
    assert {record.method for record in records} == {"relay-difficulty"}
    assert records[0].gold == "0"


def test_answers_come_a_second_time_from_the_cache_and_are_the_same(models):
    names = ("relay-difficulty", "base", "teacher", "call-ratio-2x", "entropy", "glimp", "token-router", "random-query",
             "cascade", "query-router")
    first, _, _ = evaluate(models, *names)
    asked = models.asked.total()
    second, _, _ = evaluate(models, *names)
    assert models.asked.total() == asked > 0
    assert second == first


def test_one_benchmark_or_method_more_costs_only_itself(models):
    evaluate(models, "relay-difficulty")
    models.asked.clear()
    evaluate(models, "relay-difficulty", "teacher-free", benchmarks={"pens": PENS, "aime-2024": AIME})
    kinds = [(text.startswith("Find x"), count) for text, count in models.asked.items()]
    assert sorted(kinds) == [(False, 1)] * 3 + [(True, 64)]  # the benchmark by both methods, the method's pens


def test_rival_without_the_relays_cost_raises(models):
    with pytest.raises(ConfigError, match=r"random-position.*evaluate\.methods"):
        evaluate(models, "random-position")


def test_routed_questions_without_the_teachers_answers_raise(models):
    with pytest.raises(ConfigError, match=r"random-query.*add base, teacher to"):
        evaluate(models, "relay-difficulty", "random-query")


def test_rivals_are_answered_after_the_relay_whatever_the_order(models):
    done, _, _ = evaluate(models, "cascade", "entropy", "teacher", "base", "relay-difficulty")
    assert set(done) == {"cascade", "entropy", "teacher", "base", "relay-difficulty"}
    assert {record.method for record in done["cascade"]} == {"cascade"}


def test_random_position_calls_for_the_relays_n(models):
    done, evaluation, _ = evaluate(models, "relay-difficulty", "random-position")
    n = evaluation.cost(method("random-position", ["relay-difficulty"], "relay-difficulty")).mean_n
    assert {asked for record in done["random-position"] for asked in record.requested} <= {n}
    assert all(record.command_tokens == 0 for record in done["random-position"])


def test_teacher_free_never_asks(models):
    done, _, _ = evaluate(models, "teacher-free")
    assert sum(record.calls for record in done["teacher-free"]) == 0


def test_token_routers_spend_no_more_on_training_problems_than_the_relay(models):
    _, evaluation, _ = evaluate(models, "relay-difficulty", "entropy", "glimp", "entropy-2x")
    for name, setting in evaluation.calibration.found.items():
        assert setting.call_ratio <= setting.target + 1e-9, name
    found = evaluation.calibration.found
    assert found["entropy-2x"].target == pytest.approx(min(1.0, 2 * found["entropy"].target))


def test_target_that_no_setting_reaches_is_said_with_what_was_seen(models):
    one_call = CONFIG.decoding.model_copy(update={"max_new_tokens": 24, "max_calls": 1, "max_call_tokens": 1})
    _, evaluation, said = evaluate(models, "relay-difficulty", "call-ratio-99x", decoding=one_call)
    setting = evaluation.calibration.found["call-ratio-99x"]
    if setting.target:
        assert not setting.reached
        assert any(f"asked for a call ratio of {setting.target:.4f}" in line for line in said)


def test_call_ratio_of_nothing_is_the_student_without_calls(models):
    done, _, _ = evaluate(models, "call-ratio-0x", "teacher-free")
    assert [record.text for record in done["call-ratio-0x"]] == [record.text for record in done["teacher-free"]]


def test_other_teacher_writes_what_the_relay_asks_for(tmp_path):
    student, tokenizer, teacher, theirs = pair()
    other = make_model("qwen3", theirs, seed=9)
    for folder, model, words in (("grpo/relay-difficulty/model", student, tokenizer), ("teacher", teacher, theirs),
                                 ("others/second", other, theirs)):
        model.save_pretrained(tmp_path / folder)
        words.save_pretrained(tmp_path / folder)
    models = Models(*(tmp_path / name for name in ("base", "warmup", "teacher", "others", "grpo")),
                    AnswerCache(tmp_path / "answers.sqlite"))
    runs, often = ["relay-difficulty"], {"call_bias": 50.0, "max_new_tokens": 24}
    said = {name: models.writer(method(name, runs, runs[0], ["second"])).generate(["There are"], **often)[0]
            for name in ("relay-difficulty", "other-teacher-second")}
    assert [{call.teacher for call in trace.calls} for trace in said.values()] == [{"teacher"}, {"second"}]
    wanted = [RelayDecoder.from_models(student, tokenizer, helper, theirs).generate(["There are"], **often)[0].text
              for helper in (teacher, other)]
    assert [trace.text for trace in said.values()] == wanted
    assert wanted[0] != wanted[1]
