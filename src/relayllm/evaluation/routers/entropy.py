"""Entropy router: calls for the relay's n where the student is unsure of its next token. Needs no training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from relayllm.config import RoutersConfig
from relayllm.evaluation.cost import Cost
from relayllm.evaluation.routers.router import Asker, TokenizerPair
from relayllm.problems.problem import Problem
from relayllm.relay.policy import EntropyThreshold


class EntropyRouter:
    """The threshold is an entropy in nats."""

    def prepare(self, asker: Asker, problems: Sequence[Problem], cost: Cost) -> str:
        """Nothing to learn: an entropy needs no training."""
        return ""

    def options(self, threshold: float, cost: Cost, pair: TokenizerPair, config: RoutersConfig) -> Mapping[str, Any]:
        """Options of the decoder: an entropy policy with this threshold."""
        return {"policy": EntropyThreshold(threshold=threshold, n=cost.mean_n)}

    def highest(self, pair: TokenizerPair) -> float:
        """The largest entropy there is, of a uniform distribution: log of the vocabulary's size."""
        return math.log(len(pair.tokenizer))
