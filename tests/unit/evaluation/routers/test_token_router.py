"""Learned token router: what it learns from outcomes, and how the decoder reads its probe."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from relayllm import RelayDecoder
from relayllm.config import load_params
from relayllm.engines.hidden_states import prompt_states
from relayllm.errors import ConfigError
from relayllm.evaluation.cost import Cost
from relayllm.evaluation.routers.router import TokenizerPair
from relayllm.evaluation.routers.token_router import PLACES, LearnedTokenRouter
from relayllm.problems.problem import Problem
from relayllm.relay.policy import ProbeThreshold
from relayllm.relay.trace import Author, Ledger, StopReason, Trace
from tests.support.small_models import pair

ROUTERS = load_params(Path("params/smoke.yaml")).evaluate.routers
PROBLEMS = [Problem(f"p{index}", f"question {index}", "4", "pens") for index in range(40)]
PAIR = TokenizerPair(None, None, True)


class World:
    """Help at even places turns every wrong answer right; the state's first number shows which place it is."""

    def __init__(self, helps=True):
        self._helps = helps

    def answers(self, who, problems, *, samples=1):
        assert who == "base"
        return [said(7) for _ in problems]

    def continued(self, problems, prefixes, *, n):
        assert n == 3
        return [said(4 if self._helps and even(prefix) else 7) for prefix in prefixes]

    def states_at(self, problems, prefixes):
        rng = np.random.default_rng(0)
        return np.array([[2.0 * even(prefix), *rng.normal(size=3)] for prefix in prefixes], dtype=np.float32)


def said(answer):
    return Trace((1,), tuple(range(12)), (Author.STUDENT,) * 12, (0.0,) * 12, (), Ledger(), StopReason.FINISHED,
                 f"\\boxed{{{answer}}}")


def even(prefix):
    return len(prefix.token_ids) % 2 == 0


def test_router_learns_at_which_states_help_pays():
    router = LearnedTokenRouter()
    assert router.prepare(World(), PROBLEMS, Cost(0.1, 3)) == ""
    *weights, bias = router.options(0.5, Cost(0.1, 3), PAIR, ROUTERS)["probe"]
    assert len(weights) == 4
    assert 2 * weights[0] + bias > 0 > bias


def test_router_that_never_saw_help_pay_says_so_and_never_calls():
    router = LearnedTokenRouter()
    said_of_it = router.prepare(World(helps=False), PROBLEMS, Cost(0.1, 3))
    assert f"help turned 0 of {PLACES * len(PROBLEMS)} places" in said_of_it
    assert router.options(0.0, Cost(0.1, 3), PAIR, ROUTERS) == {"max_calls": 0}


def test_decoder_calls_where_the_readout_of_the_hidden_state_passes_the_threshold():
    student, tokenizer, teacher, theirs = pair()
    decoder = RelayDecoder.from_models(student, tokenizer, teacher, theirs)
    probe = (*np.random.default_rng(3).normal(size=student.config.hidden_size).tolist(), 0.2)
    prompts = ["There are 12 pens in 3 boxes.", "How many?", "There are 12 pens in 3 boxes."]
    policy = ProbeThreshold(threshold=0.5, n=2)
    for trace in decoder.generate(prompts, max_new_tokens=24, max_calls=1, policy=policy, probe=probe):
        read = [readout(student, [*trace.prompt_ids, *trace.token_ids[:place]], probe)
                for place in range(len(trace.token_ids))]
        last = trace.calls[0].position if trace.calls else len(read) - 4
        assert all(value <= 0 for value in read[:last])
        if trace.calls:
            assert read[last] > 0


def readout(student, ids, probe):
    state = prompt_states(student, [ids])[0][:student.config.hidden_size]
    return math.fsum(weight * float(number) for weight, number in zip(probe, state, strict=False)) + probe[-1]


def test_probe_of_another_width_is_named_with_both():
    decoder = RelayDecoder.from_models(*pair())
    with pytest.raises(ConfigError, match=r"states of 32 numbers, the batch has 1 probes of 3"):
        decoder.generate(["There are"], max_new_tokens=8, policy=ProbeThreshold(0.5), probe=(1.0, 2.0, 3.0))
