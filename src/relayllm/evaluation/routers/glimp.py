"""GlimpRouter: the entropy of the first token of each step decides who writes the step. Needs no training.

A step is a line or a sentence. The teacher's ends where its own text has one, or after `routers.step_tokens` tokens;
a teacher on a server always writes that many.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from relayllm.config import RoutersConfig
from relayllm.evaluation.cost import Cost
from relayllm.evaluation.routers.router import Asker, TokenizerPair
from relayllm.problems.problem import Problem
from relayllm.relay.policy import StepEntropy
from relayllm.relay.protocols import Tokenizer

SENTENCE_ENDS = (".", "!", "?", "。")


class GlimpRouter:
    """The threshold is an entropy in nats."""

    def prepare(self, asker: Asker, problems: Sequence[Problem], cost: Cost) -> str:
        """Nothing to learn: an entropy needs no training."""
        return ""

    def options(self, threshold: float, cost: Cost, pair: TokenizerPair, config: RoutersConfig) -> Mapping[str, Any]:
        """Options of the decoder: a policy with this threshold, and where the teacher's steps end."""
        policy = StepEntropy(threshold=threshold, n=config.step_tokens, step_ends=step_ends(pair.tokenizer))
        return {"policy": policy, "call_stop_ids": (
            step_ends(pair.teacher_tokenizer) if pair.teacher_in_process else frozenset())}

    def highest(self, pair: TokenizerPair) -> float:
        """The largest entropy there is, of a uniform distribution: log of the vocabulary's size."""
        return math.log(len(pair.tokenizer))


@lru_cache(maxsize=8)
def step_ends(tokenizer: Tokenizer) -> frozenset[int]:
    """The tokens of a vocabulary after which a new step begins: a line's end, or a full stop by itself."""
    texts = (tokenizer.decode([token]) for token in range(len(tokenizer)))
    return frozenset(token for token, text in enumerate(texts) if "\n" in text or text.strip() in SENTENCE_ENDS)
