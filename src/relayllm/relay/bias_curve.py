"""The bias curve: what one trained model spends when it calls less often, or for longer, than it was trained to.

Below its own call ratio a bias on `<call>` leaves calls out. Above it calls are served with more tokens than they asked
for: a bias that adds calls puts them where nothing is to be asked, and answers get worse (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relayllm.errors import ConfigError


@dataclass(frozen=True, slots=True, order=True)
class CallSetting:
    """How readily a student calls, and for how long: cheaper settings come first."""

    call_bias: float = 0.0
    """Added to the logit of `<call>`."""
    min_call_tokens: int = 1
    """A call is served with at least so many tokens."""

    @classmethod
    def at(cls, place: float) -> CallSetting:
        """The setting at a place of one line: below 0 a call bias, above it tokens that calls are served beyond one."""
        return cls(call_bias=place) if place < 0 else cls(min_call_tokens=1 + round(place))

    @property
    def place(self) -> float:
        """Its place on the line of `at`."""
        return self.call_bias or float(self.min_call_tokens - 1)

    @property
    def distance(self) -> float:
        """How far it is from what the student was trained to."""
        return abs(self.call_bias) + self.min_call_tokens - 1

    def options(self) -> dict[str, Any]:
        """The setting as options of `RelayDecoder.generate`."""
        return {"call_bias": self.call_bias, "min_call_tokens": self.min_call_tokens}


OWN = CallSetting()
"""What a student was trained to."""


def refuse_two_settings(call_ratio: float, given: CallSetting) -> None:
    """Refuse a call ratio beside a call bias or a minimum of call tokens: each decides the setting.

    Raises:
        ConfigError: another one is given.
    """
    for name, own in OWN.options().items():
        if (value := getattr(given, name)) != own:
            raise ConfigError(f"call_ratio is {call_ratio:g} and {name} is {value:g}: give one of them")


@dataclass(frozen=True, slots=True)
class BiasCurve:
    """Settings and the call ratio each gave on training problems, from the cheapest to the dearest."""

    settings: tuple[CallSetting, ...]
    call_ratios: tuple[float, ...]
    """Never falling: a dip is chance, and counts as level."""

    @classmethod
    def from_points(cls, points: Sequence[Mapping[str, float]]) -> BiasCurve:
        """From `call_bias`, `min_call_tokens` (1 where there is none) and `call_ratio` of each point, in any order."""
        rising = 0.0
        ordered = sorted((CallSetting(float(point["call_bias"]), int(point.get("min_call_tokens", 1))),
                          float(point["call_ratio"])) for point in points)
        ratios = [rising := max(rising, ratio) for _, ratio in ordered]
        return cls(tuple(setting for setting, _ in ordered), tuple(ratios))

    def setting_for(self, call_ratio: float) -> CallSetting:
        """The setting nearest to the student's own that spends this call ratio, between those that were measured.

        Raises:
            ConfigError: nothing that was tried spends so little, or so much.
        """
        if not self.settings or not self.call_ratios[0] <= call_ratio <= self.call_ratios[-1]:
            reach = f"{self.call_ratios[0]:.4f} to {self.call_ratios[-1]:.4f}" if self.settings else "nothing"
            raise ConfigError(f"call_ratio is {call_ratio:g}, this model's settings were measured from {reach}: ask "
                              "for a share between, or set call_bias or min_call_tokens by hand")
        ends = list(zip(self.settings, self.call_ratios, strict=True))
        return min((setting for below, above in zip(ends, ends[1:] or ends, strict=False)
                    for setting in _between(below, above, call_ratio)), key=lambda setting: setting.distance)


def _between(below: tuple[CallSetting, float], above: tuple[CallSetting, float], wanted: float) -> list[CallSetting]:
    """On a straight line between two measured settings; on level ground the nearest to the student's own."""
    (low, less), (high, more) = below, above
    if not less <= wanted <= more:
        return []
    if less == more:
        return [OWN] if low <= OWN <= high else [low, high]
    share = (wanted - less) / (more - less)
    return [CallSetting(low.call_bias + share * (high.call_bias - low.call_bias),
                        round(low.min_call_tokens + share * (high.min_call_tokens - low.min_call_tokens)))]
