"""Decode steps of fixed shape write what ordinary ones do."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayllm import RelayDecoder
from relayllm.engines.cuda_graphs import rows_of
from relayllm.engines.local import LocalEngine
from relayllm.relay.command import ALL_DIGITS
from relayllm.relay.engine import StepInput
from relayllm.relay.policy import Scripted
from tests.support.small_models import pair

WORDS = ["There", "are", "pens", "in", "12", "boxes", "ok."]
CALLS = st.lists(st.tuples(st.integers(0, 20), st.sampled_from([1, 2, 9])), max_size=3).map(sorted)


@pytest.mark.parametrize(("rows", "bucket"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (33, 64)])
def test_rows_are_bucketed_to_powers_of_two(rows, bucket):
    assert rows_of(rows) == bucket


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(CALLS, min_size=1, max_size=6), st.integers(1, 6))
def test_static_steps_write_the_tokens_of_ordinary_ones(scripts, slots):
    """Ragged rows that call: while some are with the teacher, their caches lie behind the rows of the step."""
    prompts = [" ".join(WORDS[:1 + index]) for index in range(len(scripts))]
    policy = Scripted(script=dict(enumerate(scripts)))
    options = {"max_new_tokens": 28, "max_calls": 3, "slots": slots, "policy": policy}
    plain = RelayDecoder.from_models(*pair(), cuda_graphs=False).generate(prompts, **options)
    static = RelayDecoder.from_models(*pair(), cuda_graphs=True).generate(prompts, **options)
    assert [trace.token_ids for trace in static] == [trace.token_ids for trace in plain]


def test_static_steps_go_on_past_a_bucket_of_keys_and_a_cache_that_grows():
    """Rows of 250 and 3 tokens: the step changes shape at 256 keys, and the cache grows while steps are kept."""
    model = pair()[0]
    engines = [LocalEngine(model, name="it", ends=(), cuda_graphs=static) for static in (False, True)]
    told = []
    for engine in engines:
        rows = [engine.open() for _ in range(3)]
        fresh = [[5 + index % 50 for index in range(size)] for size in (250, 3, 100)]
        written = []
        for _ in range(20):
            said = engine.step([StepInput(row, ids, ALL_DIGITS) for row, ids in zip(rows, fresh, strict=True)])
            fresh = [[token] for token in said.tokens]
            written.append((said.tokens, [round(value, 4) for value in said.logprobs]))
        assert [engine.length(row) for row in rows] == [269, 22, 119]
        told.append(written)
    assert [tokens for tokens, _ in told[0]] == [tokens for tokens, _ in told[1]]
    for (_, plain), (_, static) in zip(*told, strict=True):
        torch.testing.assert_close(torch.tensor(static), torch.tensor(plain), atol=2e-4, rtol=0)
