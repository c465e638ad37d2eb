"""The logits processor that vLLM loads: one class for both of its model runners (tried with vLLM 0.32).

Model runner V1 gives Python lists of output tokens; V2, where Triton is, gives tensors of all requests on the device.
Both end in `grammar.masked`. A request without our arguments is left as it is, and so is every request of a server
whose tokenizer has no command tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from vllm.v1.sample.logits_processor import LogitsProcessor as V1Processor
from vllm.v1.sample.logits_processor import process_dict_updates
from vllm.v1.worker.gpu.sample.logits_processor import LogitsProcessor as V2Processor

from relayllm_vllm.grammar import BACK, NO_TOKEN, CommandIds, Rows, masked
from relayllm_vllm.request import GrammarRequest

CALL, END_CALL = "<call>", "</call>"


def command_ids(tokenizer_name: str) -> CommandIds | None:
    """The command ids of a server's tokenizer; None when it has none.

    Raises:
        ValueError: digits are not single tokens.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_name)
    known = tokenizer.get_vocab()
    if CALL not in known or END_CALL not in known:
        return None
    digits = tuple(tokenizer.encode(digit, add_special_tokens=False)[-1] for digit in "0123456789")
    if len(set(digits)) < len(digits):
        raise ValueError(f"{tokenizer_name}: digits are not single tokens, so that n cannot be written digit by digit")
    return CommandIds(known[CALL], known[END_CALL], digits, len(tokenizer))


class RelayGrammar(V2Processor, V1Processor):
    """Allows well-formed commands only, within what each request has left."""

    def __init__(self, vllm_config: Any, where: Any, is_pin_memory: bool | None = None) -> None:
        self.ids = command_ids(vllm_config.model_config.tokenizer)
        self.rows: dict[int, tuple[GrammarRequest, list[int]]] = {}
        """V1: a row of the batch -> what its request asks, and its output tokens, which vLLM appends to."""
        if is_pin_memory is None:
            self._begin_v2(where)

    @classmethod
    def validate_params(cls, params: Any) -> None:
        """Raises ValueError where a request's arguments are wrong; vLLM then answers 400."""
        GrammarRequest.of(params.extra_args)

    def is_argmax_invariant(self) -> bool:
        """It may change which token is the likeliest."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """V1: requests came, went or moved."""
        process_dict_updates(self.rows, batch_update, lambda params, _, output: (
            None if (asked := self._asked(params)) is None else (asked, output)))

    def apply(self, logits: torch.Tensor, ctx: Any = None) -> torch.Tensor:
        """Mask the rows that are ours; `ctx` is V2's."""
        if ctx is not None:
            return self._apply_v2(logits, ctx)
        if self.ids is None or not self.rows:
            return logits
        rows = Rows.of([(output, asked.calls_left > 0, asked.remaining - len(output), asked.max_call_tokens,
                         asked.call_bias) for asked, output in self.rows.values()], logits.device)
        which = torch.tensor(list(self.rows), device=logits.device)
        logits[which] = masked(logits[which], rows, self.ids)
        return logits

    def add_request(self, req_idx: int, params: Any) -> bool:
        """V2: a request takes a slot."""
        asked = self._asked(params)
        self._ours.np[req_idx] = asked is not None
        self._budget.np[req_idx] = (0, 0, 0) if asked is None else (asked.calls_left, asked.remaining,
                                                                    asked.max_call_tokens)
        self._bias.np[req_idx] = 0.0 if asked is None else asked.call_bias
        return asked is not None

    def apply_staged_writes(self) -> None:
        """V2: what `add_request` wrote goes to the device."""
        for table in (self._ours, self._budget, self._bias):
            table.copy_to_uva()

    def _asked(self, params: Any) -> GrammarRequest | None:
        """A request that does not stop at `</call>` may not call: one request is one segment, and nobody would serve
        it."""
        asked = None if self.ids is None else GrammarRequest.of(params.extra_args)
        if asked is None or self.ids is None or self.ids.end in (params.stop_token_ids or ()):
            return asked
        return GrammarRequest(0, asked.remaining, asked.max_call_tokens)

    def _begin_v2(self, states: Any) -> None:
        from vllm.v1.worker.gpu.buffer_utils import UvaBackedTensor

        self._states, slots = states, states.max_num_reqs
        self._ours = UvaBackedTensor(slots, dtype=torch.bool)
        self._budget = UvaBackedTensor((slots, 3), dtype=torch.int32)
        self._bias = UvaBackedTensor(slots, dtype=torch.float32)

    def _apply_v2(self, logits: torch.Tensor, ctx: Any) -> torch.Tensor:
        if self.ids is None or not np.asarray(self._ours.np)[ctx.idx_mapping_np].any():
            return logits
        slots, position = ctx.expanded_idx_mapping.long(), ctx.pos.long()
        prompt, budget = self._states.prompt_len.gpu[slots].long(), self._budget.gpu[slots].long()
        rows = Rows(self._last_v2(ctx, slots, position, prompt), budget[:, 0] > 0,
                    budget[:, 1] - (position + 1 - prompt), budget[:, 2], self._bias.gpu[slots])
        changed = masked(logits.clone(), rows, self.ids)
        return torch.where(self._ours.gpu[slots][:, None], changed, logits)

    def _last_v2(self, ctx: Any, slots: torch.Tensor, position: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        """The last output tokens of each row, the newest first: committed ones, and under speculation the drafts."""
        back = torch.arange(BACK, device=position.device)
        at = position[:, None] - back  # (rows, 4)
        committed = self._states.all_token_ids.gpu[slots[:, None], at.clamp(min=0)].long()
        fed = ctx.input_ids[(torch.arange(len(slots), device=position.device)[:, None] - back).clamp(min=0)].long()
        last = torch.where(back <= ctx.expanded_local_pos[:, None], fed, committed)
        return torch.where(at >= prompt[:, None], last, NO_TOKEN)
