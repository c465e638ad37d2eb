"""Names of methods of the evaluation, as `evaluate.methods` lists them; what they do is in `evaluation.methods`."""

from __future__ import annotations

import re
from collections.abc import Sequence

PLAIN = ("base", "teacher", "warmup", "teacher-free")
TOKEN_ROUTERS = ("entropy", "glimp", "token-router")
QUERY_ROUTERS = ("random-query", "cascade", "query-router")
RIVALS = ("random-position", *TOKEN_ROUTERS, *QUERY_ROUTERS)
FACTOR = r"(\d+(?:\.\d+)?)x"
FIXED, CALL_RATIO, OTHER = r"fixed-([1-9]\d*)", rf"call-ratio-{FACTOR}", r"other-teacher-(.+)"
RIVAL = rf"({'|'.join(RIVALS)})(?:-{FACTOR})?"


def is_trained(name: str) -> bool:
    """Whether a method's name is that of a GRPO run: a policy as it was trained, under no rule of ours."""
    return name not in PLAIN and not any(re.fullmatch(rule, name) for rule in (RIVAL, FIXED, CALL_RATIO, OTHER))


def follows_the_relay(name: str) -> bool:
    """Whether the relay's cost must be known first."""
    return any(re.fullmatch(rule, name) for rule in (RIVAL, FIXED))


def is_drawn_from_records(name: str) -> bool:
    """Whether it is a router of whole questions, drawn from the records of base and teacher."""
    found = re.fullmatch(RIVAL, name)
    return found is not None and found[1] in QUERY_ROUTERS


def no_method(name: str, runs: Sequence[str], teachers: Sequence[str]) -> str:
    """What is said of a name that no method has."""
    return (f"no method {name!r}: there are {', '.join((*PLAIN, *RIVALS))} (routers also as NAME-Mx, at M times the "
            "relay's call ratio), fixed-N, call-ratio-Mx (the relay at M times its own call ratio), other-teacher-NAME "
            f"for the names in base_models.other_teachers ({', '.join(teachers) or 'none'}), and the runs of "
            f"params.yaml, grpo.runs: {', '.join(runs)}")


def is_method(name: str, runs: Sequence[str], teachers: Sequence[str]) -> bool:
    """Whether a method has this name, where these runs and other teachers are."""
    other = re.fullmatch(OTHER, name)
    return name in runs or (other[1] in teachers if other else not is_trained(name))
