"""The reward in money: what an answer is worth, less what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from relayllm.rewards.scenario import Outcome

ANSWERS = 1000
"""`weight` is per so many answers: one costs too little to be written down."""


def money(group: Sequence[Outcome], *, weight: float) -> list[float]:
    """1 if right, less weight times the cost of 1,000 such answers; knows no scenarios.

    Reading is part of the cost: a call late in a long answer may cost more than the tokens that it brings.
    """
    return [float(outcome.correct) - weight * ANSWERS * outcome.cost for outcome in group]
