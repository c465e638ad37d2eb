"""The policy that the loss reads is the policy that wrote the roll-out."""

from __future__ import annotations

import copy
from collections import Counter
from contextlib import nullcontext
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from relayllm import RelayDecoder
from relayllm.relay.command import CommandTokens, allowed_in_command
from relayllm.relay.trace import Author
from relayllm.training.grammar_mask import INSIDE_BIT, Grammar
from tests.support.small_models import pair

LIMITS = {"max_new_tokens": 36, "max_calls": 3, "max_call_tokens": 99}
PROMPTS = ["There are pens in 12 boxes", "ok.", "There are 3 pens. How many are in 4 boxes, and why?"]
TOKENS = CommandTokens(call=10, end=11, digits=tuple(range(10)))


@cache
def decoder() -> RelayDecoder:
    """With a student for whom `<call>` is as likely as its commonest token."""
    student, tokenizer, teacher, theirs = pair()
    student, options = copy.deepcopy(student), {"n": 12, "temperature": 1.0, "max_new_tokens": 30, "max_calls": 0}
    found = RelayDecoder.from_models(student, tokenizer).generate(PROMPTS, **options)
    [(commonest, _)] = Counter(token for trace in found for token in trace.token_ids).most_common(1)
    eager = RelayDecoder.from_models(student, tokenizer, teacher, theirs)
    with torch.no_grad():
        student.get_output_embeddings().weight[eager.commands.call] = (
            student.get_output_embeddings().weight[commonest])
    return eager


@cache
def traces():
    """Sampled roll-outs, with calls."""
    return decoder().generate(PROMPTS, n=12, seed=5, temperature=1.0, teacher_temperature=0.7, **LIMITS)


@cache
def padded_decoder() -> RelayDecoder:
    """The same with an embedding that has rows to spare, some of which score high."""
    one = decoder()
    student = copy.deepcopy(one.student.model)
    size = len(one.tokenizer)
    student.resize_token_embeddings(size + 9, mean_resizing=False)
    with torch.no_grad():
        student.get_output_embeddings().weight[size:] = student.get_output_embeddings().weight[:9]
    _, _, teacher, theirs = pair()
    return RelayDecoder.from_models(student, one.tokenizer, teacher, theirs)


def trainer_of(grammar: Grammar):
    """The part of the trainer that scores completions, without data, optimizer or processes."""
    from relayllm.training.trainer import RelayTrainer

    bare = RelayTrainer.__new__(RelayTrainer)
    bare.grammar, bare.args = grammar, SimpleNamespace()
    bare.temperature = 1.0
    bare.accelerator = SimpleNamespace(autocast=nullcontext, unwrap_model=lambda model: model)
    return bare


def padded(chosen, pad: int):
    """Prompts padded on the left, completions on the right, as TRL does it."""
    left = max(len(trace.prompt_ids) for trace in chosen)
    right = max(len(trace.token_ids) for trace in chosen)
    rows, mask = [], []
    for trace in chosen:
        before, after = left - len(trace.prompt_ids), right - len(trace.token_ids)
        rows.append([pad] * before + [*trace.prompt_ids, *trace.token_ids] + [pad] * after)
        mask.append([0] * before + [1] * (left + right - before - after) + [0] * after)
    return torch.tensor(rows), torch.tensor(mask), right


@pytest.mark.parametrize("batch_size", [1, 5, 36])
def test_trainer_logprobs_equal_those_of_the_roll_out(batch_size):
    grammar = Grammar(decoder().commands, len(decoder().tokenizer), **LIMITS)
    ids, mask, keep = padded(traces(), decoder().tokenizer.pad_token_id)
    with torch.no_grad():
        found, entropies = trainer_of(grammar).score_completions(decoder().student.model, ids, mask, keep,
                                                                 batch_size=batch_size, entropy=True)
    commands = 0
    for row, trace in enumerate(traces()):
        for position, (author, logprob) in enumerate(zip(trace.authors, trace.logprobs, strict=True)):
            if author is not Author.TEACHER:
                assert float(found[row, position]) == pytest.approx(logprob, abs=1e-4)
                commands += author is Author.COMMAND
    assert commands > 30
    assert torch.isfinite(found).all()
    assert torch.isfinite(entropies).all()


def test_trainer_logprobs_leave_out_rows_that_pad_the_embedding():
    one = padded_decoder()
    [trace] = one.generate(PROMPTS[:1], temperature=1.0, seed=2, **LIMITS)
    ids, mask, keep = padded([trace], one.tokenizer.pad_token_id)
    trainer = trainer_of(Grammar(one.commands, len(one.tokenizer), **LIMITS))
    found, _ = trainer.score_completions(one.student.model, ids, mask, keep)
    found.sum().backward()
    own = [at for at, author in enumerate(trace.authors) if author is not Author.TEACHER]
    assert found[0, own].tolist() == pytest.approx([trace.logprobs[at] for at in own], abs=1e-4)


def test_trainer_scoring_in_chunks_gives_the_same_values_and_gradients(monkeypatch):
    import relayllm.training.trainer as module

    student, tokenizer = decoder().student.model, decoder().tokenizer
    trainer = trainer_of(Grammar(decoder().commands, len(decoder().tokenizer), **LIMITS))
    ids, mask, keep = padded(traces()[:4], tokenizer.pad_token_id)
    seen = []
    for limit in (module.LOGITS_AT_ONCE, 4 * len(tokenizer) * 3):
        monkeypatch.setattr(module, "LOGITS_AT_ONCE", limit)
        found, _ = trainer.score_completions(student, ids, mask, keep)
        seen.append((found, torch.autograd.grad(found.sum(), student.get_input_embeddings().weight)[0]))
    assert torch.allclose(seen[0][0], seen[1][0], atol=1e-6)
    assert torch.allclose(seen[0][1], seen[1][1], atol=1e-4)


def test_bits_allow_every_token_that_was_written():
    commands = decoder().commands
    grammar = Grammar(commands, len(decoder().tokenizer), **LIMITS)
    columns = {token: bit for bit, token in enumerate(commands.columns)}
    for trace in traces():
        for token, author, bits in zip(trace.token_ids, trace.authors, grammar.bits(trace.token_ids), strict=True):
            if author is Author.COMMAND and token != commands.call:
                assert bits & INSIDE_BIT
            if author is not Author.TEACHER:
                assert token not in columns or bits >> columns[token] & 1


def test_bits_of_a_written_command_by_hand():
    """Ids: x <call> 1 2 </call> x, of at most 10 tokens, one call, n up to 12."""
    bits = Grammar(TOKENS, 20, max_new_tokens=10, max_calls=1, max_call_tokens=12).bits([50, 10, 1, 2, 11, 50])
    digits = (1 << 10) - 1
    assert bits == [digits | 1 << 10, digits | 1 << 10,  # a command may begin
                    INSIDE_BIT | digits & ~1,  # n begins with 1 to 9
                    INSIDE_BIT | 1 << 11 | 0b111,  # 10, 11, 12, or the end
                    INSIDE_BIT | 1 << 11,  # 12 is the largest
                    digits]  # the call is spent


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=30), st.integers(1, 40), st.integers(0, 3), st.integers(1, 999))
def test_bits_never_leave_the_student_without_a_choice(completion, budget, calls, largest):
    """Whatever is read, teacher tokens and padding included, no row of the mask is all -inf."""
    grammar = Grammar(TOKENS, 20, max_new_tokens=budget, max_calls=calls, max_call_tokens=largest)
    masked = grammar.mask(torch.zeros(len(completion), 13), torch.tensor(grammar.bits(completion), dtype=torch.long))
    inside = torch.tensor([bool(bits & INSIDE_BIT) for bits in grammar.bits(completion)], dtype=torch.bool)
    assert torch.isfinite(masked[~inside]).any(dim=-1).all() if (~inside).any() else True
    if calls == 0 and 10 not in completion:
        assert not inside.any()


def test_mask_bans_everything_but_the_allowed_digits_inside_a_command():
    grammar = Grammar(TOKENS, 20, max_new_tokens=50, max_calls=1, max_call_tokens=35)
    logits = torch.zeros(1, 20)
    bits = torch.tensor([INSIDE_BIT | allowed_in_command(3, 40, 35)])
    assert torch.isfinite(grammar.mask(logits, bits))[0].nonzero()[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 11]


def test_mask_outside_of_a_command_touches_the_command_tokens_alone():
    grammar = Grammar(TOKENS, 20, max_new_tokens=50, max_calls=0, max_call_tokens=35)
    masked = grammar.mask(torch.zeros(1, 20), torch.tensor(grammar.bits([15])))
    assert (masked == -torch.inf)[0].nonzero()[:, 0].tolist() == [10, 11]
