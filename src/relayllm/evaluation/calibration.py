"""Find, on training problems, the setting at which a method spends what it should."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from relayllm.config import EvaluateConfig
from relayllm.evaluation.cached_writer import Messages
from relayllm.evaluation.cost import Cost
from relayllm.evaluation.routers.router import TokenizerPair, TokenRouter
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.progress import printer
from relayllm.relay.bias_curve import OWN, CallSetting
from relayllm.relay.trace import Trace

HALVINGS = 9
"""Of the interval in which a setting is sought."""
CLOSE = 0.95
"""A setting that spends this share of the target, and no more than the target, is found."""
NEAR = 0.75
"""A setting that spends less of the target than this is not at equal cost."""
WIDEST = 30.0
"""Logits that a bias may take: a trained policy is sure of a call by 10 and more."""


class Generator(Protocol):
    """Answers prompts, as `RelayDecoder.generate` and `CachedWriter.generate` do."""

    def generate(self, prompts: Sequence[Messages], **options: Any) -> list[Trace]:
        """One trace per prompt."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What was found, and what it spends on the training problems."""

    value: float
    call_ratio: float
    target: float
    seen: tuple[float, float]
    """The lowest and the highest call ratio of all settings that were tried."""

    @property
    def reached(self) -> bool:
        """Whether the target is among what was seen."""
        low, high = self.seen
        return low <= self.target and high >= CLOSE * self.target and self.call_ratio >= NEAR * self.target

    def warning(self, name: str) -> str:
        """What to say of a target that no setting reached; empty when one did."""
        if self.reached:
            return ""
        return (f"{name} was asked for a call ratio of {self.target:.4f}; on the training problems its settings spent "
                f"{self.seen[0]:.4f} to {self.seen[1]:.4f}, so it runs at {self.call_ratio:.4f}")


class Search:
    """A bisection that remembers what each setting spent."""

    def __init__(self, spend: Callable[[float], float]) -> None:
        self._spend = spend
        self.spent: dict[float, float] = {}

    def at(self, setting: float) -> float:
        """The call ratio at a setting, measured once."""
        if setting not in self.spent:
            self.spent[setting] = self._spend(setting)
        return self.spent[setting]

    def find(self, target: float, cheap: float, dear: float) -> Setting:
        """The setting between two ends that spends the target or a little less; spending grows from cheap to dear."""
        value = bisect(self.at, target, cheap, dear)
        low, high = min(cheap, dear), max(cheap, dear)
        within = [ratio for setting, ratio in self.spent.items() if low <= setting <= high]
        return Setting(value, self.at(value), target, (min(within), max(within)))


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
    """Finds settings on training problems, and keeps what it found."""

    def __init__(self, problems: Sequence[Problem], config: EvaluateConfig) -> None:
        self._prompts, self._config = [messages(problem) for problem in problems], config
        self._options = config.decoding.greedy().options()
        self.found: dict[str, Setting] = {}
        """Method -> its setting: a place on the bias curve, a router's threshold, or a share of the questions."""
        self.bias_curve: dict[CallSetting, float] = {}
        """Setting -> call ratio of the relay, for every one that was tried."""

    def call_setting(self, name: str, factor: float, generator: Generator) -> CallSetting:
        """The setting at which the relay spends a multiple of its own call ratio; its own when it never calls."""
        def spend(place: float) -> float:
            setting = CallSetting.at(place)
            if setting not in self.bias_curve:
                self.bias_curve[setting] = self._call_ratio(name, generator, **setting.options())
            return self.bias_curve[setting]

        search = Search(spend)
        own = search.at(OWN.place)
        cheap, dear = (-WIDEST, 0.0) if factor < 1 else (0.0, float(self._config.decoding.max_new_tokens - 1))
        self.found[name] = search.find(factor * own, cheap, dear) if own else Setting(0.0, 0.0, 0.0, (0.0, 0.0))
        return CallSetting.at(self.found[name].value)

    def threshold(self, name: str, router: TokenRouter, generator: Generator, pair: TokenizerPair,
                  cost: Cost) -> dict[str, Any]:
        """Options of the decoder at which a token router spends the call ratio of `cost`."""
        routers = self._config.routers
        search = Search(lambda threshold: self._call_ratio(
            name, generator, **router.options(threshold, cost, pair, routers)))
        self.found[name] = search.find(cost.call_ratio, cheap=router.highest(pair), dear=0.0)
        return dict(router.options(self.found[name].value, cost, pair, routers))

    def _call_ratio(self, name: str, generator: Generator, **options: Any) -> float:
        traces = generator.generate(self._prompts, progress=printer(f"calibrating {name}", end=False),
                                    **{**self._options, **options})
        return sum(trace.call_ratio for trace in traces) / max(1, len(traces))
