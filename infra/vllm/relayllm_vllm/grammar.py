"""The grammar over a batch of logits, in torch alone: the rules of `relayllm.relay.command` without a loop over rows.

What a row may write next follows from its last four tokens, its budget and its position: after `<call>` only digits,
the first of them not 0, n within `max_call_tokens`; `</call>` once there is a digit; no digit more than the budget can
still serve; `<call>` only where a command of three tokens and one teacher token still fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

BACK = 4
"""Tokens that tell whether a row stands inside a command: `<call>` and three digits."""
NO_TOKEN = -1


@dataclass(frozen=True)
class CommandIds:
    """The ids that commands are made of, and how many ids the tokenizer knows."""

    call: int
    end: int
    digits: tuple[int, ...]
    """Ten ids, 0 to 9."""
    vocabulary: int
    """Ids from here on only pad the model's table and are never written."""

    @cached_property
    def digit_ids(self) -> torch.Tensor:
        """(10,)"""
        return torch.tensor(self.digits)


@dataclass(frozen=True)
class Rows:
    """What the grammar knows of each row of the logits, as tensors on their device."""

    last: torch.Tensor
    """The last tokens that the row wrote, the newest first; NO_TOKEN where there is none. (rows, 4)"""
    may_call: torch.Tensor
    """Whether calls are left. (rows,), bool"""
    remaining: torch.Tensor
    """Completion tokens that may still be written, this one included. (rows,)"""
    max_call_tokens: torch.Tensor
    """(rows,)"""
    call_bias: torch.Tensor
    """(rows,), float"""

    @classmethod
    def of(cls, rows: Sequence[tuple[Sequence[int], bool, int, int, float]], device: torch.device) -> Rows:
        """From one tuple per row, in the order of the fields; `last` as written, the newest last."""
        newest = [[*reversed(last[-BACK:]), *[NO_TOKEN] * (BACK - len(last[-BACK:]))] for last, *_ in rows]
        columns = list(zip(*rows, strict=True))
        return cls(torch.tensor(newest, device=device), *(torch.tensor(column, device=device)
                                                          for column in columns[1:4]),
                   torch.tensor(columns[4], device=device, dtype=torch.float32))


def masked(logits: torch.Tensor, rows: Rows, ids: CommandIds) -> torch.Tensor:
    """Logits (rows, V) with everything at -inf that the grammar does not allow, written in place."""
    digit_ids = ids.digit_ids.to(logits.device)
    number, inside = _numbers(rows.last, digit_ids, ids.call)
    n = 10 * number[:, None] + torch.arange(10, device=logits.device)  # (rows, 10)
    fits = (n > 0) & (n <= rows.max_call_tokens[:, None]) & ((rows.remaining >= 3) | (number == 0))[:, None]
    begins = ~inside & rows.may_call & (rows.remaining >= 4)
    minus = torch.tensor(-torch.inf, device=logits.device, dtype=logits.dtype)
    digits = torch.where(inside[:, None] & ~fits, minus, logits[:, digit_ids])
    call = torch.where(begins, logits[:, ids.call] + rows.call_bias.to(logits.dtype), minus)
    end = torch.where(inside & (number > 0), logits[:, ids.end], minus)
    logits.masked_fill_(inside[:, None], -torch.inf)
    logits[:, ids.vocabulary:] = -torch.inf
    logits[:, digit_ids], logits[:, ids.call], logits[:, ids.end] = digits, call, end
    return logits


def _numbers(last: torch.Tensor, digit_ids: torch.Tensor, call: int) -> tuple[torch.Tensor, torch.Tensor]:
    """n as written so far, and whether the row stands inside a command. (rows, 4) -> (rows,), (rows,)"""
    match = last[..., None] == digit_ids  # (rows, 4, 10)
    is_digit, value = match.any(-1), (match * torch.arange(10, device=last.device)).sum(-1)
    only_digits = torch.cat((torch.ones_like(is_digit[:, :1]), is_digit[:, :-1].cumprod(1).bool()), dim=1)
    opens = (last == call) & only_digits  # at most one per row: nothing but digits is newer
    inside = opens.any(1)
    newer = (~opens).cumprod(1).bool() & inside[:, None]
    tens = torch.tensor([1, 10, 100, 0], device=last.device)
    return (value * tens * newer).sum(1), inside
