"""Rewards over the roll-outs of one problem. A new one is a module and a row here."""

from __future__ import annotations

from collections.abc import Callable

from relayllm.rewards.difficulty import difficulty
from relayllm.rewards.money import money
from relayllm.rewards.scenario import Outcome, Scenario, scenario_of
from relayllm.rewards.simple import accuracy, simple

Reward = Callable[..., list[float]]
"""One number per roll-out of a group of outcomes; beside the group it takes the options of its section in params."""

REWARDS: dict[str, Reward] = {"difficulty": difficulty, "simple": simple, "accuracy": accuracy, "money": money}

__all__ = ["REWARDS", "Outcome", "Reward", "Scenario", "scenario_of"]
