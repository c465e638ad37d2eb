"""Calls tried with help and without, for a teacher of the same tokenizer and of another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from relayllm import RelayDecoder
from relayllm.config import load_params
from relayllm.evaluation.analysis.call_value import COLUMNS
from relayllm.evaluation.answer_cache import AnswerCache
from relayllm.evaluation.cached_writer import CachedWriter
from relayllm.evaluation.cost import Cost
from relayllm.evaluation.counterfactual import counterfactuals
from relayllm.problems.problem import Problem
from tests.support.small_models import pair

SMOKE = load_params(Path("params/smoke.yaml")).evaluate
CONFIG = SMOKE.model_copy(update={"decoding": SMOKE.decoding.model_copy(update={"max_new_tokens": 24}),
                                  "call_value_problems": 4})
PENS = [Problem(f"pens-{index}", f"A box has {index} pens. How many are in 3 boxes?", str(3 * index), "pens")
        for index in range(6)]


class Eager:
    """A small pair whose student wants to call by so many logits more."""

    def __init__(self, same, bias):
        self._decoder, self._bias = RelayDecoder.from_models(*pair("qwen3", same)), bias
        self.tokenizer, self.complete = self._decoder.tokenizer, self._decoder.complete

    def request(self, prompt, options, **where):
        return self._decoder.request(prompt, replace(options, call_bias=self._bias), **where)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(("bias", "calls"), [(-50.0, False), (50.0, True)])
def test_every_place_is_gone_on_from_both_ways(tmp_path, same, bias, calls):
    writer = CachedWriter(lambda: Eager(same, bias), ["pair"], AnswerCache(tmp_path / "answers.sqlite"))
    rows = counterfactuals(writer, {"pens": PENS}, CONFIG, Cost(0.1, 3))
    assert {row["problem_id"] for row in rows} == {problem.id for problem in PENS[:4]}
    assert all(set(COLUMNS) == set(row) for row in rows)
    both = {(row["problem_id"], row["place"], row["help"]) for row in rows}
    assert len(both) == len(rows)
    assert all((problem, place, not help_) in both for problem, place, help_ in both)
    assert {row["called"] for row in rows} == {calls}
