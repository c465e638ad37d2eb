"""The ends of the random numbers' range: no draw takes what may not be said."""

import pytest
import torch

from relayllm.engines.sampling import Sampler
from relayllm.relay.command import ALL_DIGITS
from relayllm.relay.engine import StepInput

LOGITS = torch.tensor([[0.0, 1.0, 2.0, 0.5, 1.5]])
LAST = 1 - 2**-53
"""The largest draw there is; as a float32 it is 1."""


def drawn(draw: float, *, banned=(), top_p: float = 1.0, logits: torch.Tensor = LOGITS) -> int:
    sampler = Sampler(None, banned, torch.device("cpu"))
    ask = StepInput(1, [1], ALL_DIGITS, temperature=1.0, top_p=top_p, draw=draw)
    return sampler.sample(logits.clone(), [ask])[0][0]


@pytest.mark.parametrize("banned", [(4,), (3, 4), (1, 2, 3, 4), (2, 4)])
def test_largest_draw_takes_no_banned_token(banned):
    assert drawn(LAST, banned=banned) not in banned


def test_largest_draw_takes_the_last_token_where_none_is_banned():
    assert drawn(LAST) == 4


@pytest.mark.parametrize(("banned", "token"), [((), 0), ((0,), 1), ((0, 1), 2), ((0, 1, 2, 3), 4)])
def test_draw_of_zero_takes_the_first_token_that_may_be_said(banned, token):
    assert drawn(0.0, banned=banned) == token


def test_largest_draw_stays_within_the_nucleus():
    assert drawn(LAST, top_p=0.3) == 2


@pytest.mark.parametrize("seed", range(5))
def test_largest_draws_of_a_large_vocabulary_take_no_banned_token(seed):
    logits = torch.randn(1, 50_000, generator=torch.Generator().manual_seed(seed)) * 3
    banned = range(40_000, 50_000)
    assert all(drawn(1 - 2.0**-bits, banned=banned, logits=logits) < 40_000 for bits in range(20, 54))


def test_draws_within_the_range_take_the_token_of_their_share():
    summed = LOGITS.softmax(-1).cumsum(-1)[0]
    for step in range(1000):
        draw = torch.tensor(step / 1000)
        assert drawn(float(draw)) == int((summed <= draw * summed[-1]).sum())
