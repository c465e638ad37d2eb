"""Log-probabilities of a prompt's own tokens under the student: what `echo` with `logprobs` asks for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relayllm.relay.trace import Ledger, Top

if TYPE_CHECKING:
    from relayllm.engines.decoder import RelayDecoder

AT_ONCE = 256
"""Positions whose logits are held at once: a row of logits is as wide as the vocabulary."""


@dataclass(frozen=True, slots=True)
class PromptLogprobs:
    """Log-probabilities of a prompt's own tokens: the first has none."""

    ids: tuple[int, ...]
    logprobs: tuple[float | None, ...]
    tops: tuple[Top, ...]
    """The likeliest tokens at each place, best first."""
    seconds: float = 0.0
    """What the forward took."""

    @property
    def ledger(self) -> Ledger:
        """What the scoring cost: the student read the prompt once more, or for the first time."""
        return Ledger(student_prefilled=len(self.ids), student_seconds=self.seconds)


def score(decoder: RelayDecoder, token_ids: Sequence[int], top: int) -> PromptLogprobs:
    """Score a prompt in one forward of the student, commands left out. Runs between two steps of the engine."""
    import torch

    begun = time.monotonic()
    model: Any = decoder.student_model
    body, head = getattr(model, model.base_model_prefix), model.get_output_embeddings()
    logprobs: list[float | None] = [None]
    tops: list[Top] = [()]
    with torch.inference_mode():
        ids = torch.tensor([list(token_ids)], device=head.weight.device)  # (1, tokens)
        hidden = body(input_ids=ids).last_hidden_state[0, :-1]  # (tokens - 1, width)
        for start in range(0, len(hidden), AT_ONCE):
            logits = head(hidden[start:start + AT_ONCE]).float()  # (positions, V)
            logits[:, [token for token in (decoder.commands.call, decoder.commands.end)
                       if token < logits.shape[1]]] = float("-inf")
            scores = logits.log_softmax(-1)
            targets = ids[0, 1 + start:1 + start + len(scores), None]
            logprobs += scores.gather(1, targets)[:, 0].tolist()
            best, which = scores.topk(max(1, top), dim=-1)  # (positions, top); lm-eval asks which one is the best
            tops += [tuple(zip(*row, strict=True)) for row in zip(which.tolist(), best.tolist(), strict=True)]
    return PromptLogprobs(tuple(token_ids), tuple(logprobs), tuple(tops), time.monotonic() - begun)
