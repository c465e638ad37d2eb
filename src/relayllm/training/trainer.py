"""TRL's GRPO trainer, told about the grammar, the learning rate's floor, and roll-outs that servers wrote."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import linear
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.checkpoint import checkpoint
from trl import GRPOTrainer

from relayllm.engines.checkpoints.model_shapes import LOGITS_AT_ONCE
from relayllm.errors import TrainingError
from relayllm.training.grammar_mask import Grammar
from relayllm.training.rollouts import LOGPROB_GAP

LARGEST_GAP = 0.1
"""Nats a token, on average: bfloat16 on both sides stays far below."""


class RelayTrainer(GRPOTrainer):
    """GRPO over roll-outs of the relay."""

    lr_scheduler: LRScheduler | None

    def __init__(self, *, grammar: Grammar, final_share: float, served: bool, **trl: Any) -> None:
        """Train with a grammar that masks the student's logits as the roll-out did; the rest is TRL's.

        The learning rate ends at `final_share` of its start. `served`: servers write the roll-outs, and what they say
        of them is compared with the policy. Rows of the data set have a `problem_id`.
        """
        self.grammar, self.final_share, self.served = grammar, final_share, served
        self.problem_ids: list[str] = []
        """Of the roll-outs that are being made; TRL hands prompts alone to who makes them."""
        super().__init__(**trl)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self.problem_ids = [row["problem_id"] for row in inputs]
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        if self.served:
            self._compare_policies(batch)
        return batch

    @torch.no_grad()
    def _compare_policies(self, batch: dict[str, Any]) -> None:
        """See over one micro-batch that the servers sample from the policy in training.

        Raises:
            TrainingError: they sample from another.
        """
        rows, keep = slice(0, self.args.per_device_train_batch_size), batch["completion_ids"].shape[1]
        ids, attention_mask = (torch.cat([batch[f"prompt_{kind}"], batch[f"completion_{kind}"]], dim=1)[rows]
                               for kind in ("ids", "mask"))
        ours, _ = self.score_completions(self.model, ids, attention_mask, keep)
        written = (batch["completion_mask"] * batch["tool_mask"])[rows]  # (rows, tokens), 1 for the student's
        gap = float(((ours - batch["sampling_per_token_logps"][rows]).abs() * written).sum() / written.sum())
        self._metrics["train"][LOGPROB_GAP].append(gap)
        if gap > LARGEST_GAP:
            raise TrainingError(f"the log-probabilities that the roll-outs' servers give differ by {gap:.3f} a token "
                                f"from those of the weights in training, at most {LARGEST_GAP} may be: do they serve "
                                "this model, unquantised, and take the weights they are told to read?")

    def _get_per_token_logps_and_entropies(self, model: torch.nn.Module, input_ids: torch.Tensor,
                                           attention_mask: torch.Tensor, logits_to_keep: int,
                                           batch_size: int | None = None, compute_entropy: bool = False,
                                           **_: Any) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """What TRL's loss asks for; the third is a loss that mixtures of experts have."""
        return *self.score_completions(model, input_ids, attention_mask, logits_to_keep, batch_size=batch_size,
                                       entropy=compute_entropy), None

    def score_completions(self, model: torch.nn.Module, ids: torch.Tensor, attention_mask: torch.Tensor, keep: int, *,
                          batch_size: int | None = None,
                          entropy: bool = False) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Log-probabilities (rows, keep) of the last `keep` tokens under the masked policy; its entropies when asked.

        `ids` and `attention_mask` are (rows, tokens), prompt and completion; `batch_size` rows are read at once, all by
        default.
        """
        size = batch_size or len(ids)
        parts = [self._chunk(model, ids[at:at + size], attention_mask[at:at + size], keep, entropy)
                 for at in range(0, len(ids), size)]
        logps = torch.cat([part[0] for part in parts])
        return logps, torch.cat([part[1] for part in parts]) if entropy else None

    def _chunk(self, model: torch.nn.Module, ids: torch.Tensor, attention_mask: torch.Tensor, keep: int,
               entropy: bool) -> tuple[torch.Tensor, torch.Tensor]:
        completion = ids[:, -keep:]
        bits = torch.tensor([self.grammar.bits(row) for row in completion.tolist()], device=ids.device)
        with self.accelerator.autocast():
            out = model(input_ids=ids, attention_mask=attention_mask, logits_to_keep=1, output_hidden_states=True,
                        use_cache=False)
        hidden = out.hidden_states[-1][:, -keep - 1:-1]  # (rows, keep, width), after the final norm
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        weight, bias = head.weight, head.bias  # (V, width); one access: an adapter's rows are copied in at each
        span = max(1, LOGITS_AT_ONCE // (len(ids) * len(weight)))
        if span >= keep:
            return self._score(weight, bias, hidden, completion, bits, entropy)
        parts = [checkpoint(self._score, weight, bias, hidden[:, at:at + span], completion[:, at:at + span],
                            bits[:, at:at + span], entropy, use_reentrant=False) for at in range(0, keep, span)]
        return torch.cat([part[0] for part in parts], dim=1), torch.cat([part[1] for part in parts], dim=1)

    def _score(self, weight: torch.Tensor, bias: torch.Tensor | None, hidden: torch.Tensor, tokens: torch.Tensor,
               bits: torch.Tensor, entropy: bool) -> tuple[torch.Tensor, torch.Tensor]:
        # accelerate turns what a bfloat16 model returns into float32
        logits = linear(hidden.to(weight.dtype), weight, bias).float() / self.temperature  # (rows, tokens, V)
        logp = self.grammar.mask(logits, bits).log_softmax(dim=-1)
        chosen = logp.gather(-1, tokens[..., None])[..., 0]
        # teacher tokens and padding may be outside of the grammar; they are masked out of the loss, but inf * 0 is nan
        chosen = chosen.masked_fill(chosen == -torch.inf, 0.0)
        with torch.no_grad():  # half a forward's time at V = 745, and old and reference policies need none
            return chosen, torch.special.entr(logp.exp()).sum(dim=-1) if entropy else torch.zeros_like(chosen)

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """A straight line from the learning rate to its final share, when the schedule is linear."""
        if self.args.lr_scheduler_type != "linear" or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        floor = self.final_share
        self.lr_scheduler = LambdaLR(
            optimizer or self.optimizer, lambda step: 1 - (1 - floor) * min(1.0, step / max(1, num_training_steps)))
        return self.lr_scheduler
