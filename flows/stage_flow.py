"""One stage of the pipeline as a flow of its own: what the workers of a role's pool run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.states import Completed, State

from flows import dvc_stages
from flows.processes import ended_together
from relayllm.settings import current_settings, quiet


@flow(name="stage", log_prints=True)
def stage(name: str) -> State[Any]:
    """Reproduce one stage, in the folder and with the environment of this worker."""
    quiet()
    with ended_together():
        return reproduced(current_settings().root, name, get_run_logger().info)


def reproduced(root: Path, name: str, say: Callable[[str], None]) -> State[Any]:
    """Run a stage that has something to do; one that has not shows as cached."""
    status = dvc_stages.stage_status(root, name)
    if status is dvc_stages.StageStatus.UP_TO_DATE:
        return Completed(message="up to date", name="Cached")
    started = time.monotonic()
    say("started")
    dvc_stages.reproduce(root, name, say, force=status is dvc_stages.StageStatus.FORCED)
    return Completed(message=f"ran for {time.monotonic() - started:.0f} s")
