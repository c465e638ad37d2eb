"""Train one base model of the tiny world from scratch, on one thread."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

from relayllm.config import TinyModel
from relayllm.engines.decoder import RelayDecoder
from relayllm.grading import grade
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.problems.tiny_world.generator import corpus

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Qwen3ForCausalLM

WARMUP_SHARE = 0.05
IGNORED = -100
DIGITS = "0123456789"
PRODUCT = re.compile(r"\d\*\d+=(\d+)")
UNSEEN = 1_000_003
"""Added to a model's seed: problems that it did not read."""


def new_model(config: TinyModel, tokenizer: PreTrainedTokenizerBase) -> Qwen3ForCausalLM:
    """A Qwen3 of the configured shape with random weights and tied embeddings."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(config.seed)
    return Qwen3ForCausalLM(Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=config.hidden_size, num_hidden_layers=config.layers,
        num_attention_heads=config.heads, num_key_value_heads=config.kv_heads,
        head_dim=config.hidden_size // config.heads, intermediate_size=config.intermediate_size,
        tie_word_embeddings=True, max_position_embeddings=1024, rope_theta=10_000.0, dtype="float32",
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))


def train(config: TinyModel, tokenizer: PreTrainedTokenizerBase,
          say: Callable[[str], None] = print) -> Qwen3ForCausalLM:
    """Train on worked answers to endless new problems; the loss reads the answers alone.

    Returns:
        The model, in eval mode. The same config gives the same weights on the same machine and thread count.
    """
    model = new_model(config, tokenizer).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    weights, batches = _token_weights(tokenizer, config.digit_weight), _batches(config, tokenizer)
    started = time.monotonic()
    for number in range(config.rounds):
        _round(model, optimizer, config, islice(batches, config.steps), weights, number, started, say)
        if config.rounds > 1:
            share = solved(model.eval(), config, tokenizer)
            say(f"round {number + 1} of at most {config.rounds}: {share:.1%} of new problems solved")
            if share >= config.good_enough:
                break
            model.train()
    return model.eval()


def solved(model: Qwen3ForCausalLM, config: TinyModel, tokenizer: PreTrainedTokenizerBase,
           problems: int = 400) -> float:
    """Share of new problems of the model's own mix that it answers rightly, sampled at temperature 1.

    Where it could only guess a product, an answer is right that follows from its guess.
    """
    guess = config.hard_products == "guessed"
    asked = list(islice(corpus(config.seed + UNSEEN, config.hard_share, 0.0, guess=guess), problems))
    alone = RelayDecoder.from_models(model, tokenizer, None, None)
    traces = alone.generate([messages(problem) for problem in asked], max_new_tokens=128, temperature=1.0, max_calls=0,
                            slots=128)
    return sum(grade(trace.text, as_guessed(problem, trace.text) if guess else problem).correct
               for trace, problem in zip(traces, asked, strict=True)) / problems


def as_guessed(problem: Problem, text: str) -> Problem:
    """A hard problem as it would be if the product were what was written."""
    said, written = PRODUCT.search(problem.solution), PRODUCT.search(text)
    if not problem.meta["hard"] or said is None or written is None:
        return problem
    return replace(problem, answer=str(int(problem.answer) - int(said[1]) + int(written[1])))


def _round(model: Qwen3ForCausalLM, optimizer: torch.optim.Optimizer, config: TinyModel,
           batches: Iterator[tuple[torch.Tensor, torch.Tensor]], weights: torch.Tensor, number: int, started: float,
           say: Callable[[str], None]) -> None:
    """`steps` batches under one schedule; the later rounds begin at half of the first one's learning rate."""
    losses, top = [], config.learning_rate / min(number + 1, 2)
    for step, (ids, labels) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = top * _schedule(step, config.steps)
        loss = _loss(model, ids, labels, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if (step + 1) % max(1, config.steps // 10) == 0:
            say(f"step {number * config.steps + step + 1}/{config.steps * config.rounds}  "
                f"loss {sum(losses[-50:]) / len(losses[-50:]):.3f}  {time.monotonic() - started:.0f} s")


def _loss(model: Qwen3ForCausalLM, ids: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]  # (rows, tokens - 1, width)
    wanted = labels[:, 1:]  # (rows, tokens - 1)
    read = wanted != IGNORED
    return cross_entropy(model.lm_head(hidden[read]), wanted[read], weight=weights)


def _token_weights(tokenizer: PreTrainedTokenizerBase, digit_weight: float) -> torch.Tensor:
    weights = torch.ones(len(tokenizer))
    weights[[tokenizer.convert_tokens_to_ids(digit) for digit in DIGITS]] = digit_weight
    return weights


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to a fiftieth."""
    warmup = max(1, int(WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _batches(config: TinyModel, tokenizer: PreTrainedTokenizerBase) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless reading: right-padded batches of (ids, labels), both (rows, tokens)."""
    guess = config.hard_products == "guessed"
    problems = corpus(config.seed, config.hard_share, config.drill_share, guess=guess)
    while True:
        yield _batch(list(islice(problems, config.batch_size)), tokenizer)


def _batch(problems: Sequence[Problem], tokenizer: PreTrainedTokenizerBase) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels of worked answers, both (problems, tokens); padding needs no mask, nothing reads it."""
    rows = [_encode(tokenizer, problem) for problem in problems]
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    labels = torch.full((len(rows), width), IGNORED)
    for row, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt):end] = torch.tensor(answer)
    return ids, labels


def _encode(tokenizer: PreTrainedTokenizerBase, problem: Problem) -> tuple[list[int], list[int]]:
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": problem.question}], tokenize=False,
                                           add_generation_prompt=True)
    answer = problem.solution + tokenizer.eos_token
    return tokenizer.encode(prompt), tokenizer.encode(answer)
