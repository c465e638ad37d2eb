"""Find, on training problems, the setting at which a method spends what it should."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from relayllm.config import EvaluateConfig
from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.teacher_only import RemoteGenerator
from relayllm.evaluation.methods import Cost
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.relay.policy import EntropyThreshold

Writer = RelayDecoder | RemoteGenerator
"""Who answers for a method."""
HALVINGS = 9
"""Of the interval in which a setting is sought."""
CLOSE = 0.95
"""A setting that spends this share of the target, and no more than the target, is found."""
WIDEST = 30.0
"""Logits that the dial may add or take: a trained policy is sure of a call by 10 and more."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What was found, and what it spends on the training problems."""

    value: float
    call_ratio: float
    target: float


def bisect(spent: Callable[[float], float], target: float, cheap: float, dear: float) -> float:
    """The setting between two ends that spends the target or a little less; what is spent grows from cheap to dear."""
    for _ in range(HALVINGS):
        middle = (cheap + dear) / 2
        found = spent(middle)
        if CLOSE * target <= found <= target:
            return middle
        cheap, dear = (cheap, middle) if found > target else (middle, dear)
    return cheap


class Calibration:
    """Training problems, and what was found on them so far."""

    def __init__(self, problems: Sequence[Problem], config: EvaluateConfig) -> None:
        self._prompts = [messages(problem) for problem in problems]
        self._options = {**config.decoding.model_dump(), "temperature": 0.0, "teacher_temperature": 0.0}
        self.found: dict[str, Setting] = {}
        """Method -> its setting: a call bias, or the entropy router's threshold."""
        self.bias_curve: dict[float, float] = {}
        """Call bias -> call ratio of the relay, for every bias that was tried."""

    def call_bias(self, name: str, multiple: float, decoder: Writer) -> float:
        """The bias on `<call>` at which the relay spends a multiple of its own call ratio; 0 when it never calls."""
        def spent(bias: float) -> float:
            if bias not in self.bias_curve:
                self.bias_curve[bias] = self._call_ratio(decoder, call_bias=bias)
            return self.bias_curve[bias]

        target = multiple * spent(0.0)
        cheap, dear = (-WIDEST, 0.0) if multiple < 1 else (0.0, WIDEST)
        bias = bisect(spent, target, cheap, dear) if spent(0.0) else 0.0
        self.found[name] = Setting(bias, spent(bias), target)
        return bias

    def threshold(self, name: str, decoder: Writer, cost: Cost) -> float:
        """The entropy, in nats, above which the router calls so that it spends the relay's call ratio."""
        @cache
        def spent(threshold: float) -> float:
            return self._call_ratio(decoder, policy=EntropyThreshold(threshold=threshold, n=cost.mean_n))

        unsurest = math.log(len(decoder.tokenizer))
        threshold = bisect(spent, cost.call_ratio, cheap=unsurest, dear=0.0)
        self.found[name] = Setting(threshold, spent(threshold), cost.call_ratio)
        return threshold

    def _call_ratio(self, decoder: Writer, **options: Any) -> float:
        traces = decoder.generate(self._prompts, **{**self._options, **options})
        return sum(trace.call_ratio for trace in traces) / max(1, len(traces))
