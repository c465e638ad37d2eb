"""The student's log-probabilities of the teacher's tokens: those of a plain forward, whoever else is in the batch."""

from __future__ import annotations

import pytest
import torch

from relayllm import RelayDecoder
from relayllm.relay.policy import Scripted
from relayllm.relay.trace import Author, StopReason
from tests.support.small_models import pair

PROMPTS = [[10, 11, 12], [10, 11, 12], [20, 21], [30]]
SCRIPT = {0: [(3, 4), (9, 2)], 1: [(5, 40)], 2: [(0, 3), (3, 3)], 3: []}


@pytest.fixture(scope="module")
def models():
    return pair()


def written(models, **options):
    decoder = RelayDecoder.from_models(*models)
    return decoder, decoder.generate(PROMPTS, max_new_tokens=24, policy=Scripted(script=SCRIPT), **options)


def plain(decoder, trace):
    """Log-probabilities of every completion token, from one forward over all of them, commands left out."""
    ids = [*trace.prompt_ids, *trace.token_ids]
    with torch.no_grad():
        logits = decoder.student.model(torch.tensor([ids])).logits[0].float()
    logits[:, [decoder.commands.call, decoder.commands.end]] = float("-inf")
    scores = logits.log_softmax(-1)
    start = len(trace.prompt_ids)
    return [scores[start + place - 1, token].item() for place, token in enumerate(trace.token_ids)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_teacher_tokens_have_the_log_probability_of_a_plain_forward(models, temperature):
    decoder, traces = written(models, temperature=temperature, score_teacher=True)
    taught = 0
    for trace in traces:
        for author, logprob, expected in zip(trace.authors, trace.logprobs, plain(decoder, trace), strict=True):
            if author is Author.TEACHER:
                assert logprob == pytest.approx(expected, abs=2e-4)
                taught += 1
    assert taught == sum(trace.ledger.teacher_tokens for trace in traces) > 20


def test_teacher_tokens_at_the_end_of_an_answer_are_scored_too(models):
    _, traces = written(models, score_teacher=True)
    last = traces[1]
    assert (last.authors[-1], last.stop_reason) == (Author.TEACHER, StopReason.TOKEN_BUDGET)
    assert None not in [logprob for author, logprob in zip(last.authors, last.logprobs, strict=True)
                        if author is Author.TEACHER]


def test_scores_change_no_token(models):
    _, scored = written(models, temperature=1.0, score_teacher=True)
    _, others = written(models, temperature=1.0)
    assert [trace.token_ids for trace in scored] == [trace.token_ids for trace in others]
    assert all(logprob is None for trace in others
               for author, logprob in zip(trace.authors, trace.logprobs, strict=True) if author is Author.TEACHER)
