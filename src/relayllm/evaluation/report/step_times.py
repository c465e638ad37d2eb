"""Where the time of GRPO's steps went, as a table. Clocks differ from run to run: none of it is in the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relayllm.evaluation.report.wording import NONE, percent

STEP_TIMES = ("run", "seconds per step", "student %", "teacher %", "grading %", "update %", "rest %",
              "roll-out tokens/s")
PARTS = ("student", "teacher", "grade", "update")
StepSeconds = Mapping[str, float]


def step_time_rows(runs: Mapping[str, Sequence[StepSeconds]]) -> list[list[str]]:
    """A row of cells per run, in the order of `STEP_TIMES`; a run without seconds has none.

    Shares are of the time of all its steps, so a long step weighs more than a short one. The rest is what a roll-out
    spends beside both models.
    """
    return [_row(name, steps) for name, steps in runs.items() if _total(steps, "step") > 0]


def _row(name: str, steps: Sequence[StepSeconds]) -> list[str]:
    whole, rolled = _total(steps, "step"), _total(steps, "rollout")
    shares = [_total(steps, part) / whole for part in PARTS]
    tokens = sum(step.get("rollout_tokens_per_second", 0.0) * step.get("seconds_rollout", 0.0) for step in steps)
    return [name, f"{whole / len(steps):.1f}", *map(percent, [*shares, max(0.0, 1 - sum(shares))]),
            f"{tokens / rolled:.0f}" if rolled else NONE]


def _total(steps: Sequence[StepSeconds], part: str) -> float:
    return sum(step.get(f"seconds_{part}", 0.0) for step in steps)
