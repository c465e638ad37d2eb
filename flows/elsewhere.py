"""Stages on other machines: one whose role has a work pool of its own is run there, by the deployment `stage/ROLE`.

dvc.yaml says which stage has which role, prefect.yaml which pool a role has, and RELAY_ROLES which roles are sent
there. All machines see the same folder: what a stage writes is there for the next one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

from flows.failure import can_heal
from flows.processes import ended_by, interrupted
from relayllm.errors import StageError

VARIABLE = "RELAY_ROLES"
PAUSE = 2.0
"""Seconds between two looks at a run elsewhere."""


def runs_elsewhere(role: str) -> bool:
    """Whether stages of the role have machines of their own."""
    return bool(role) and role in os.environ.get(VARIABLE, "").replace(",", " ").split()


def run_elsewhere(role: str, name: str, say: Callable[[str], None]) -> None:
    """Run one stage in the pool of its role and wait; an interruption cancels it.

    Raises:
        StageError: the pool has no deployment, or the stage failed there; its message is passed on.
    """
    from prefect.client.orchestration import get_client

    run = _started(role, name)
    with _cancelled_on_the_way_out(run.id), get_client(sync_client=True) as client:
        state, told = run.state, ""
        while not state.is_final():
            if state.name != told:
                say(f"{role}: {state.name.lower()}")
                told = state.name
            if interrupted(PAUSE):
                raise StageError(f"{name} was interrupted in the work pool of {role}", can_heal=False)
            state = client.read_flow_run(run.id).state or state
    if not state.is_completed():
        said = state.message or state.name
        raise StageError(f"{name} failed in the work pool of {role}: {said}",
                         can_heal=can_heal(said.partition("failed: ")[2] or said))


def _started(role: str, name: str) -> Any:
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound

    try:
        return run_deployment(f"stage/{role}", parameters={"name": name}, flow_run_name=name, timeout=0)
    except ObjectNotFound as error:
        raise StageError(f"{VARIABLE} sends stages of the role {role} away, and there is no deployment stage/{role}: "
                         f"run `prefect deploy --all`, or take {role} out of {VARIABLE}", can_heal=False) from error


@contextmanager
def _cancelled_on_the_way_out(run: UUID) -> Iterator[None]:
    """Whatever ends the block before the run is over ends the run."""
    with ended_by(lambda: _cancel(run)):
        try:
            yield
        except BaseException:
            _cancel(run)
            raise


def _cancel(run: UUID) -> None:
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelling

    with suppress(Exception), get_client(sync_client=True) as client:
        state = client.read_flow_run(run).state
        if state is not None and not state.is_final():
            client.set_flow_run_state(run, Cancelling(message="the pipeline was interrupted"))
