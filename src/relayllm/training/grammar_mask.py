"""The grammar's mask while training: what the student could have written at every position of a completion.

The roll-out samples from masked logits; a loss that reads unmasked ones is about another policy. In a prototype of the
tiny world (one seed, 110 steps) that policy learned to call, but for too long: 23 % of the tokens of hard problems were
the teacher's, with the mask 8.6 %. The mask follows from the ids before a position, so it need not be stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from relayllm.relay.command import ALL_DIGITS, CALL_BIT, CommandTokens, allowed_in_command, may_call

INSIDE_BIT = 1 << 12
"""Inside a command: nothing but the allowed command columns."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """The grammar and limits under which roll-outs were written."""

    commands: CommandTokens
    vocabulary: int
    """Ids from here on are no tokens: they pad the embedding (Qwen has some), and the decoder never says them."""
    max_new_tokens: int
    max_calls: int
    max_call_tokens: int

    def bits(self, completion: Sequence[int]) -> list[int]:
        """Per position: bits over the command columns, and `INSIDE_BIT`."""
        found: list[int] = []
        calls, number = 0, None
        call, end, value = self.commands.call, self.commands.end, self.commands.value
        for position, token in enumerate(completion):
            remaining = self.max_new_tokens - position
            if number is not None:
                found.append(INSIDE_BIT | allowed_in_command(number, remaining, self.max_call_tokens))
                number = None if token == end else 10 * number + value.get(token, 0)
                continue
            found.append(ALL_DIGITS | CALL_BIT if may_call(remaining, self.max_calls - calls) else ALL_DIGITS)
            if token == call:
                calls, number = calls + 1, 0
        return found

    def mask(self, logits: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
        """Logits (..., V) with -inf where the grammar, given as bits (...), allows nothing."""
        columns = torch.tensor(self.commands.columns, device=logits.device)
        shifts = torch.arange(len(columns), device=logits.device)
        allowed = ((bits[..., None] >> shifts) & 1).bool()
        special = logits[..., columns].masked_fill(~allowed, -torch.inf)
        inside = (bits & INSIDE_BIT).bool()
        masked = logits.masked_fill(inside[..., None], -torch.inf).index_copy(-1, columns, special)
        if masked.shape[-1] > self.vocabulary:
            masked[..., self.vocabulary:] = -torch.inf
        return masked
