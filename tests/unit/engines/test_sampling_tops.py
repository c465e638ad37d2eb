"""The likeliest tokens beside the chosen one."""

import torch

from relayllm.engines.sampling import Sampler
from relayllm.relay.command import ALL_DIGITS
from relayllm.relay.engine import StepInput

LOGITS = torch.tensor([[1.0, 3.0, 2.0, 0.0], [0.0, 1.0, 4.0, 2.0]])


def ask(top: int) -> StepInput:
    return StepInput(1, [1], ALL_DIGITS, top=top)


def test_tops_are_as_many_as_each_row_asks_for_best_first():
    _, logprobs, _, tops = Sampler(None, (), torch.device("cpu")).sample(LOGITS.clone(), [ask(2), ask(3)])
    assert [[token for token, _ in row] for row in tops] == [[1, 2], [2, 3, 1]]
    assert [row[0][1] for row in tops] == logprobs
    expected = LOGITS.log_softmax(-1)
    assert torch.allclose(torch.tensor([value for _, value in tops[1]]), expected[1, [2, 3, 1]])


def test_tops_hold_nothing_that_may_not_be_said():
    *_, tops = Sampler(None, (1, 2), torch.device("cpu")).sample(LOGITS.clone(), [ask(4), ask(0)])
    assert [token for token, _ in tops[0]] == [0, 3]
    assert tops[1] == ()


def test_tops_are_empty_when_nobody_asks():
    *_, tops = Sampler(None, (), torch.device("cpu")).sample(LOGITS.clone(), [ask(0), ask(0)])
    assert tops == []
