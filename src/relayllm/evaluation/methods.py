"""What is compared: every method is a row here that says who answers, by which policy.

`{relay}` methods use the policy named in `evaluate.relay`. Methods that must match the relay's call ratio wait for its
records.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from relayllm.errors import ConfigError
from relayllm.relay.policy import EntropyThreshold, FixedLength, RandomPosition

Student = Literal["base", "warmup", "teacher"] | str
FIXED, CALL_RATIO, OTHER = r"fixed-(\d+)", r"call-ratio-(\d+(?:\.\d+)?)x", r"other-teacher-(.+)"


@dataclass(frozen=True, slots=True)
class Cost:
    """What the relay spent: what its rivals are given, too."""

    call_ratio: float
    mean_n: int
    """Rounded; at least 1."""


@dataclass(frozen=True, slots=True)
class Method:
    """Who answers, and how."""

    name: str
    student: Student
    """base, warmup, teacher, or the name of a GRPO run."""
    helped: bool = True
    """Whether the student may reach the teacher."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the decoder beyond the configured ones."""
    policy: Callable[[Cost, float], Any] | None = None
    """Made from the relay's cost and, for the entropy router, a calibrated threshold."""
    call_ratio_factor: float | None = None
    """Times its own call ratio: the bias on `<call>` that spends so much is sought on training problems."""
    teacher: str | None = None
    """The name of another teacher than the one it was trained with."""
    simulated: bool = False
    """Drawn from the records of base and teacher rather than decoded."""


def method(name: str, runs: Sequence[str], relay: str, teachers: Sequence[str] = ()) -> Method:
    """The row of a method's name; `teachers` are those beside the one that policies are trained with.

    Raises:
        ConfigError: there is no such method, or the run or the teacher that it needs is not there.
    """
    if relay not in runs:
        raise ConfigError(f"evaluate.relay is {relay!r}, grpo.runs has {', '.join(runs)}: name one of them")
    fixed = {
        "base": Method("base", "base", helped=False),
        "teacher": Method("teacher", "teacher", helped=False),
        "warmup": Method("warmup", "warmup"),
        "teacher-free": Method("teacher-free", relay, options={"teacher_enabled": False}),
        "random-query": Method("random-query", "base", simulated=True),
        "random-position": Method("random-position", "base", policy=lambda cost, _: RandomPosition(
            probability=position_probability(cost), n=cost.mean_n)),
        "entropy": Method("entropy", "base", policy=lambda cost, threshold: EntropyThreshold(
            threshold=threshold, n=cost.mean_n)),
    }
    if name in fixed:
        return fixed[name]
    if name in runs:
        return Method(name, name, helped=name != "grpo")
    if found := re.fullmatch(FIXED, name):
        n = int(found[1])
        return Method(name, relay, policy=lambda *_: FixedLength(n=n))
    if found := re.fullmatch(CALL_RATIO, name):
        return Method(name, relay, call_ratio_factor=float(found[1]))
    if (found := re.fullmatch(OTHER, name)) and found[1] in teachers:
        return Method(name, relay, teacher=found[1])
    raise ConfigError(f"no method {name!r}: there are {', '.join(fixed)}, fixed-N, call-ratio-Mx (M times the calls it "
                      f"makes by itself), other-teacher-NAME for the names in base_models.other_teachers "
                      f"({', '.join(teachers) or 'none'}), and the runs of params.yaml, grpo.runs: {', '.join(runs)}")


def is_trained(name: str) -> bool:
    """Whether a method's name is that of a GRPO run: a policy as it was trained, under no rule of ours."""
    rules = ("base", "teacher", "warmup", "teacher-free", "random-query", "random-position", "entropy",
             FIXED, CALL_RATIO, OTHER)
    return not any(re.fullmatch(rule, name) for rule in rules)


def position_probability(cost: Cost) -> float:
    """Probability of a call at each of the student's tokens that spends the relay's share of teacher tokens.

    With probability p per student token a call brings n teacher tokens, so the share is p n / (1 + p n).
    """
    return min(1.0, cost.call_ratio / (cost.mean_n * max(1e-9, 1 - cost.call_ratio)))
