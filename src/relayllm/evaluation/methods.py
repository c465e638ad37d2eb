"""What is compared: every method is a row here that says who answers, by which policy.

`{relay}` methods use the policy named in `evaluate.relay`. Methods that must match the relay's call ratio wait for its
records; `-2x` behind such a name doubles what it may spend.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from relayllm.config.method_names import CALL_RATIO, FIXED, OTHER, PLAIN, RIVAL, no_method
from relayllm.errors import ConfigError
from relayllm.evaluation.cost import Cost
from relayllm.evaluation.routers.cascade import CascadeRouter
from relayllm.evaluation.routers.entropy import EntropyRouter
from relayllm.evaluation.routers.glimp import GlimpRouter
from relayllm.evaluation.routers.query_router import LearnedQueryRouter
from relayllm.evaluation.routers.random_query import RandomQueryRouter
from relayllm.evaluation.routers.router import QueryRouter, TokenRouter
from relayllm.evaluation.routers.token_router import LearnedTokenRouter
from relayllm.relay.policy import CallPolicy, FixedLength, RandomPosition

Student = Literal["base", "warmup", "teacher"] | str
TOKEN_ROUTERS: Mapping[str, Callable[[], TokenRouter]] = {
    "entropy": EntropyRouter, "glimp": GlimpRouter, "token-router": LearnedTokenRouter}
QUERY_ROUTERS: Mapping[str, Callable[[], QueryRouter]] = {
    "random-query": RandomQueryRouter, "cascade": CascadeRouter, "query-router": LearnedQueryRouter}


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the evaluation: which student answers, with which teacher, policy and options."""

    name: str
    student: Student
    """base, warmup, teacher, or the name of a GRPO run."""
    helped: bool = True
    """Whether the student may reach the teacher."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the decoder beyond the configured ones."""
    policy: Callable[[Cost], CallPolicy] | None = None
    """Made from what it may spend."""
    token_router: TokenRouter | None = None
    """Its threshold is sought on training problems."""
    query_router: QueryRouter | None = None
    """Drawn from the records of base and teacher rather than decoded."""
    budget: float = 1.0
    """What a rival may spend, times the relay's call ratio."""
    call_ratio_factor: float | None = None
    """Times its own call ratio: the bias on `<call>` that spends so much is sought on training problems."""
    teacher: str | None = None
    """The name of another teacher than the one it was trained with."""

    @property
    def follows_the_relay(self) -> bool:
        """Whether the relay's cost must be known first."""
        return bool(self.policy or self.token_router or self.query_router)


def method(name: str, runs: Sequence[str], relay: str, teachers: Sequence[str] = ()) -> Method:
    """The row of a method's name; `teachers` are those beside the one that policies are trained with.

    Raises:
        ConfigError: there is no such method, or the run or the teacher that it needs is not there.
    """
    if relay not in runs:
        raise ConfigError(f"evaluate.relay is {relay!r}, grpo.runs has {', '.join(runs)}: name one of them")
    if name in PLAIN:
        return _plain(name, relay)
    if name in runs:
        return Method(name, name, helped=name != "grpo")
    if found := re.fullmatch(RIVAL, name):
        return _rival(name, found[1], float(found[2] or 1))
    if found := re.fullmatch(FIXED, name):
        n = int(found[1])
        return Method(name, relay, policy=lambda _: FixedLength(n=n))
    if found := re.fullmatch(CALL_RATIO, name):
        return Method(name, relay, call_ratio_factor=float(found[1]))
    if (found := re.fullmatch(OTHER, name)) and found[1] in teachers:
        return Method(name, relay, teacher=found[1])
    raise ConfigError(no_method(name, runs, teachers))


def position_probability(cost: Cost) -> float:
    """Probability of a call at each of the student's tokens that spends the relay's share of teacher tokens.

    With probability p per student token a call brings n teacher tokens, so the share is p n / (1 + p n).
    """
    return min(1.0, cost.call_ratio / (cost.mean_n * max(1e-9, 1 - cost.call_ratio)))


def _plain(name: str, relay: str) -> Method:
    if name == "teacher-free":
        return Method(name, relay, options={"teacher_enabled": False})
    return Method(name, name, helped=name == "warmup")


def _rival(name: str, kind: str, budget: float) -> Method:
    if kind in TOKEN_ROUTERS:
        return Method(name, "base", token_router=TOKEN_ROUTERS[kind](), budget=budget)
    if kind in QUERY_ROUTERS:
        return Method(name, "base", query_router=QUERY_ROUTERS[kind](), budget=budget)
    return Method(name, "base", budget=budget, policy=lambda cost: RandomPosition(
        probability=position_probability(cost), n=cost.mean_n))
