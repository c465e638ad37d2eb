"""On a schedule: ask the served model benchmark problems again and hold it to its own record.

It only warns by default: the run fails with the findings, which Prefect can turn into a message. With
`monitor.act: rollback` in mlflow/registry.yaml the champion alias goes back to the version before, if there is one and
if it could help: a teacher that is down would be down for that version, too.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.states import Completed, Failed, State

from relayllm.errors import RegistryError, ServingError
from relayllm.packaging.folder import open_package
from relayllm.registry import monitoring
from relayllm.registry.champions import rollback
from relayllm.registry.client import CHAMPION, Registry, Version
from relayllm.registry.comparison import GateResult
from relayllm.registry.faults import check_registry
from relayllm.registry.gates import load_gates
from relayllm.settings import current_settings, quiet


@task(retries=1, retry_delay_seconds=5, tags=["monitor"], cache_policy=NO_CACHE)
def ask(url: str, version: Version, count: int, seed: int) -> list[monitoring.Observation]:
    """Ask the endpoint a slice of every benchmark; what another version answered (a canary) is left out."""
    package = open_package(Registry().fetch(version))
    problems = monitoring.choose(current_settings().root / "data", package.problem_scores(), count, seed)
    endpoint = monitoring.Endpoint(url, os.environ.get("RELAY_API_KEY", ""))
    seen = monitoring.observe(endpoint, problems, int(package.decoding["max_new_tokens"]))
    ours = [item for item in seen if item.version in ("", str(version.number))]
    if not ours:
        there = ", ".join(Counter(item.version for item in seen))
        raise ServingError(f"{url} serves version {there}, the champion is {version.number}: the server has not taken "
                           "the new alias up, or it serves another registry")
    return ours


@task(tags=["monitor"], cache_policy=NO_CACHE)
def judge(version: Version, seen: list[monitoring.Observation]) -> tuple[GateResult, ...]:
    """Hold what was seen to the version's record, and write it on the version."""
    problem_scores = open_package(Registry().fetch(version)).problem_scores()
    found = monitoring.drift(seen, problem_scores, load_gates().monitor)
    create_table_artifact([{"watched": gate.name, "fine": gate.passed, "found": gate.detail} for gate in found],
                          key="monitor", description=f"version {version.number} against its own record")
    Registry().annotate(version, tags={"monitored": datetime.now(UTC).isoformat(timespec="seconds"),
                                       **{f"monitor.{gate.name}": gate.detail for gate in found}})
    return found


@task(tags=["monitor"], cache_policy=NO_CACHE)
def roll_back(version: Version, because: str) -> Version | None:
    """Give the alias back, unless somebody has moved it meanwhile."""
    registry = Registry()
    champion = registry.champion(version.name)
    if champion is None or champion.number != version.number:
        get_run_logger().warning("version %s is no longer champion: nothing to do", version.number)
        return champion
    return rollback(registry, version.name, because)


@flow(name="monitor", log_prints=True)
def monitor(url: str | None = None, name: str = "relay-decoder", problems: int | None = None,
            act: Literal["warn", "rollback"] | None = None, seed: int | None = None) -> State[Any]:
    """Ask the endpoint, judge the answers against the version's record, warn or roll back.

    `url` defaults to RELAY_SERVER_URL, then to where `relay serve` listens; `problems` and `act` to what
    mlflow/registry.yaml says; `seed`, which draws the slice, to the day.
    """
    quiet()
    address = url or os.environ.get("RELAY_SERVER_URL") or "http://127.0.0.1:8000"
    setting = load_gates().monitor
    check_registry()
    version = Registry().champion(name)
    if version is None:
        raise RegistryError(f"{name} has no {CHAMPION}: `make pipeline` or `relay promote` makes one")
    day = datetime.now(UTC).toordinal() if seed is None else seed
    found = judge(version, ask(address, version, problems or setting.problems, day))
    return conclude(version, found, act or setting.act, roll_back)


def conclude(version: Version, found: Sequence[GateResult], act: str,
             give_back: Callable[[Version, str], Version | None]) -> State[Any]:
    """The state the run ends in; gives the alias back when that is the setting."""
    faults = "; ".join(f"{gate.name}: {gate.detail}" for gate in found if not gate.passed)
    if not faults:
        return Completed(message=f"version {version.number} answers as recorded")
    if act == "warn":
        return Failed(message=f"version {version.number} drifted: {faults}")
    why = why_not_back(version, found)
    if why:
        return Failed(message=f"version {version.number} drifted: {faults}; it stays champion: {why}")
    try:
        now = give_back(version, f"drift: {faults}")
    except RegistryError as error:
        return Failed(message=f"version {version.number} drifted: {faults}; it stays champion: {error}")
    return Completed(name="RolledBack", message=f"version {version.number} drifted: {faults}; champion is now "
                                                f"{now.number if now else 'nobody'}")


def why_not_back(version: Version, found: Sequence[GateResult]) -> str:
    """Why the alias stays although a gate fails; empty when it may go back."""
    if {gate.name for gate in found if not gate.passed} == {"degraded"}:
        return "answers lost their teacher, and the version before would ask the same one; see relay_teacher_up"
    return "" if version.tags.get("replaces") else "there is no version before"
