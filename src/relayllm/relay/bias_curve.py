"""The bias curve: what a call bias makes one trained model spend, and the bias for a wanted call ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relayllm.errors import ConfigError


@dataclass(frozen=True, slots=True)
class BiasCurve:
    """Biases and the call ratio each gave on training problems, from the lowest bias to the highest."""

    biases: tuple[float, ...]
    call_ratios: tuple[float, ...]
    """Never falling: a dip is chance, and counts as level."""

    @classmethod
    def from_points(cls, points: Sequence[Mapping[str, float]]) -> BiasCurve:
        """From `call_bias` and `call_ratio` of each point, in any order."""
        rising = 0.0
        ordered = sorted((float(point["call_bias"]), float(point["call_ratio"])) for point in points)
        ratios = [rising := max(rising, ratio) for _, ratio in ordered]
        return cls(tuple(bias for bias, _ in ordered), tuple(ratios))

    def bias_for(self, call_ratio: float) -> float:
        """The bias nearest to 0 that spends this call ratio, on a straight line between what was measured.

        Raises:
            ConfigError: no bias that was tried spends so little, or so much.
        """
        if not self.biases or not self.call_ratios[0] <= call_ratio <= self.call_ratios[-1]:
            reach = f"{self.call_ratios[0]:.4f} to {self.call_ratios[-1]:.4f}" if self.biases else "nothing"
            raise ConfigError(f"call_ratio is {call_ratio:g}, this model's call biases were measured from {reach}: ask "
                              "for a share between, or set the bias by hand")
        ends = list(zip(self.biases, self.call_ratios, strict=True))
        return min((bias for below, above in zip(ends, ends[1:] or ends, strict=False)
                    for bias in _between(below, above, call_ratio)), key=abs)


def _between(below: tuple[float, float], above: tuple[float, float], wanted: float) -> list[float]:
    """The bias between two measured ones; on level ground the one nearest to 0."""
    (low, less), (high, more) = below, above
    if not less <= wanted <= more:
        return []
    if less == more:
        return [min(max(0.0, low), high)]
    return [low + (high - low) * (wanted - less) / (more - less)]
