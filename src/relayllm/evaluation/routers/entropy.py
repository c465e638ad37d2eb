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
        """Nothing is learned."""
        return ""

    def options(self, threshold: float, cost: Cost, pair: TokenizerPair, config: RoutersConfig) -> Mapping[str, Any]:
        """A policy with this threshold."""
        return {"policy": EntropyThreshold(threshold=threshold, n=cost.mean_n)}

    def highest(self, pair: TokenizerPair) -> float:
        """The entropy of a student that knows nothing."""
        return math.log(len(pair.tokenizer))
