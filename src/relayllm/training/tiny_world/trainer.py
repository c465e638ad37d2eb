"""Train one base model of the tiny world from scratch, on one thread."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from relayllm.config import TinyModel
from relayllm.problems.problem import Problem
from relayllm.problems.tiny_world.generator import corpus

WARMUP_SHARE = 0.05
IGNORED = -100


def new_model(config: TinyModel, tokenizer: Any) -> Any:
    """A Qwen3 of the configured shape with random weights and tied embeddings."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(config.seed)
    return Qwen3ForCausalLM(Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=config.hidden_size, num_hidden_layers=config.layers,
        num_attention_heads=config.heads, num_key_value_heads=config.kv_heads,
        head_dim=config.hidden_size // config.heads, intermediate_size=config.intermediate_size,
        tie_word_embeddings=True, max_position_embeddings=1024, rope_theta=10_000.0, dtype="float32",
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))


def train(config: TinyModel, tokenizer: Any, say: Callable[[str], None] = print) -> Any:
    """Train on worked answers to endless new problems; the loss reads the answers alone.

    Returns:
        The model, in eval mode. The same config gives the same weights on the same machine and thread count.
    """
    model = new_model(config, tokenizer).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    weights = _token_weights(tokenizer, config.digit_weight)
    started, losses = time.monotonic(), []
    for step, (ids, labels) in enumerate(islice(_batches(config, tokenizer), config.steps)):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * _schedule(step, config.steps)
        loss = _loss(model, ids, labels, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if (step + 1) % max(1, config.steps // 10) == 0:
            say(f"step {step + 1}/{config.steps}  loss {sum(losses[-50:]) / len(losses[-50:]):.3f}  "
                f"{time.monotonic() - started:.0f} s")
    return model.eval()


def _loss(model: Any, ids: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]  # (rows, tokens - 1, width)
    wanted = labels[:, 1:]  # (rows, tokens - 1)
    read = wanted != IGNORED
    return cross_entropy(model.lm_head(hidden[read]), wanted[read], weight=weights)


def _token_weights(tokenizer: Any, digit_weight: float) -> torch.Tensor:
    weights = torch.ones(len(tokenizer))
    weights[[tokenizer.convert_tokens_to_ids(digit) for digit in "0123456789"]] = digit_weight
    return weights


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine down to a fiftieth."""
    warmup = max(1, int(WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _batches(config: TinyModel, tokenizer: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Right-padded batches of (ids, labels), both (rows, tokens); padding needs no mask, nothing reads it."""
    problems = corpus(config.seed, config.hard_share, config.drill_share)
    while True:
        rows = [_encode(tokenizer, problem) for problem in islice(problems, config.batch_size)]
        width = max(len(prompt) + len(answer) for prompt, answer in rows)
        ids = torch.full((len(rows), width), tokenizer.pad_token_id)
        labels = torch.full((len(rows), width), IGNORED)
        for row, (prompt, answer) in enumerate(rows):
            end = len(prompt) + len(answer)
            ids[row, :end] = torch.tensor(prompt + answer)
            labels[row, len(prompt):end] = torch.tensor(answer)
        yield ids, labels


def _encode(tokenizer: Any, problem: Problem) -> tuple[list[int], list[int]]:
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": problem.question}], tokenize=False,
                                           add_generation_prompt=True)
    answer = problem.solution + tokenizer.eos_token
    return tokenizer.encode(prompt), tokenizer.encode(answer)
