"""From logits to one token per row: grammar mask, temperature, top-p, and a random number per row."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from relayllm.relay.command import ALL_DIGITS
from relayllm.relay.engine import StepInput
from relayllm.relay.trace import Top

BITS = 12


class Sampler:
    """Knows the command columns of a vocabulary and what may never be output.

    `columns` are the twelve ids of `CommandTokens.columns`; None for a model that knows no commands. `banned` are ids
    that this model must not output, whatever the row.
    """

    def __init__(self, columns: Sequence[int] | None, banned: Sequence[int], device: torch.device) -> None:
        self._columns = None if columns is None else torch.tensor(columns, device=device)
        self._call = None if columns is None else columns[10]
        self._banned = torch.tensor(sorted(banned), device=device) if banned else None
        self._shifts = torch.arange(BITS, device=device)

    def sample(self, logits: torch.Tensor, inputs: Sequence[StepInput], *,
               entropy: bool = False) -> tuple[list[int], list[float], list[float], list[Top]]:
        """Tokens, their log-probabilities before temperature and top-p, entropies and likeliest tokens, from logits
        (rows, V).

        The logits are used up: masks are written into them, since a copy of (rows, V) costs more than the mask.
        """
        logits = self._mask(logits.float(), inputs)
        best, chosen = logits.max(dim=-1, keepdim=True)  # (rows, 1) each; a third of the time of argmax on CPU
        norm = best + (logits - best).exp_().sum(dim=-1, keepdim=True).log()  # (rows, 1)
        if any(item.temperature for item in inputs):
            drawn = self._drawn(logits, chosen, inputs)
            chosen = torch.where(self._column(inputs, "temperature") > 0, drawn, chosen)
        logprob = logits.gather(1, chosen) - norm
        both = torch.cat((chosen.double(), logprob.double()), dim=1).tolist()
        return ([int(pair[0]) for pair in both], [pair[1] for pair in both],
                _entropy(logits, norm) if entropy else [],
                _likeliest(logits, norm, inputs) if any(item.top for item in inputs) else [])

    def score(self, logits: torch.Tensor, targets: torch.Tensor) -> list[float]:
        """Log-probabilities of tokens (positions,) that another wrote, under logits (positions, V) without commands."""
        logits = logits.float()
        if self._banned is not None:
            logits.index_fill_(1, self._banned, -torch.inf)
        if self._columns is not None:
            logits.index_fill_(1, self._columns[10:], -torch.inf)
        scores = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]  # (positions,)
        return [float(score) for score in scores.double().tolist()]

    def _mask(self, logits: torch.Tensor, inputs: Sequence[StepInput]) -> torch.Tensor:
        if self._banned is not None:
            logits.index_fill_(1, self._banned, -torch.inf)
        _mask_ids(logits, inputs)
        if self._columns is None:
            return logits
        if any(item.call_bias for item in inputs):
            logits[:, self._call] += self._column(inputs, "call_bias")[:, 0]
        if all(item.allowed == ALL_DIGITS and not item.inside for item in inputs):
            return logits.index_fill_(1, self._columns[10:], -torch.inf)
        bits = torch.tensor([item.allowed for item in inputs], device=logits.device)  # (rows,)
        allowed = ((bits[:, None] >> self._shifts) & 1).bool()  # (rows, 12)
        special = logits[:, self._columns].masked_fill(~allowed, -torch.inf)
        if any(item.inside for item in inputs):
            inside = torch.tensor([item.inside for item in inputs], device=logits.device)
            logits.masked_fill_(inside[:, None], -torch.inf)
        return logits.index_copy_(1, self._columns, special)

    def _drawn(self, logits: torch.Tensor, likeliest: torch.Tensor, inputs: Sequence[StepInput]) -> torch.Tensor:
        """One token per row by inversion of the distribution function: (rows, 1).

        Rounding can make a draw the whole sum (1 - 2^-53 is 1 here), and a sum made in parts can grow by a token
        without weight (on CUDA). Such a draw takes the likeliest token; all others are as they were drawn.
        """
        temperature = self._column(inputs, "temperature").clamp(min=1e-6)
        weights = torch.softmax(logits / temperature, dim=-1)
        if any(item.top_p < 1 for item in inputs):
            weights = _nucleus(weights, self._column(inputs, "top_p"))
        summed = weights.cumsum(dim=-1)
        draws = self._column(inputs, "draw") * summed[:, -1:]
        drawn = torch.searchsorted(summed, draws, right=True).clamp(max=logits.shape[1] - 1)
        return torch.where(weights.gather(1, drawn) > 0, drawn, likeliest)

    def _column(self, inputs: Sequence[StepInput], name: str) -> torch.Tensor:
        values = [getattr(item, name) for item in inputs]
        return torch.tensor(values, dtype=torch.float32, device=self._shifts.device)[:, None]  # (rows, 1)


def _mask_ids(logits: torch.Tensor, inputs: Sequence[StepInput]) -> None:
    """What the grammar of commands in text allows, row by row."""
    for row, item in enumerate(inputs):
        if item.only:
            kept = torch.tensor(item.only, device=logits.device)
            logits[row] = torch.full_like(logits[row], -torch.inf).index_copy_(0, kept, logits[row, kept])
        elif item.never:
            logits[row, torch.tensor(item.never, device=logits.device)] = -torch.inf


def _nucleus(weights: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
    """Zero for every token outside of the smallest set that holds `top_p` (rows, 1) of the weight."""
    ordered, order = weights.sort(dim=-1, descending=True)
    before = ordered.cumsum(dim=-1) - ordered
    kept = ordered.masked_fill(before >= top_p, 0.0)
    return torch.zeros_like(weights).scatter(1, order, kept)


def _likeliest(logits: torch.Tensor, norm: torch.Tensor, inputs: Sequence[StepInput]) -> list[Top]:
    """As many as each row asks for; never one that may not be output there."""
    most = min(max(item.top for item in inputs), logits.shape[1])
    best, ids = logits.topk(most, dim=-1)  # (rows, most) each
    return [tuple((token, value) for token, value in zip(row[:item.top], values[:item.top], strict=True)
                  if value > -torch.inf)
            for item, row, values in zip(inputs, ids.tolist(), (best - norm).tolist(), strict=True)]


def _entropy(logits: torch.Tensor, norm: torch.Tensor) -> list[float]:
    logp = logits - norm
    return (-(logp.exp() * logp.masked_fill(logp == -torch.inf, 0.0)).sum(dim=-1)).tolist()
