"""Ingest, then one Prefect task per node of DVC's graph.

Adds what DVC has not: schedule, retries, live logs, a page to look at. No stage is named here: dvc.yaml is the graph.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.futures import PrefectFuture
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner

from flows import dvc_stages
from flows.data_set import ingest
from flows.elsewhere import run_elsewhere, runs_elsewhere
from flows.processes import ended_together
from flows.score_table import table_rows
from flows.stage_flow import reproduced
from flows.tracking_page import run_page
from relayllm.errors import StageError
from relayllm.settings import current_settings, quiet

WORKERS = int(os.environ.get("RELAY_FLOW_WORKERS", "2"))
"""Stages that need nothing from each other run side by side, this many at a time."""


@task(name="ingest", tags=["data"])
def ingest_task() -> State[Any]:
    """Write and pin the data set, if the params ask for another one."""
    logger = get_run_logger()
    if ingest(logger.info):
        return Completed(message="data written and pinned")
    return Completed(message="up to date", name="Cached")


@task
def stage_task(root: str, name: str, role: str) -> State[Any]:
    """Reproduce one stage, here or in the pool of its role."""
    logger = get_run_logger()
    if not runs_elsewhere(role) or not dvc_stages.is_changed(Path(root), name):
        return reproduced(Path(root), name, logger.info)
    run_elsewhere(role, name, logger.info)
    return Completed(message=f"ran in the work pool of {role}")


@flow(name="pipeline", task_runner=ThreadPoolTaskRunner(max_workers=WORKERS), log_prints=True)
def pipeline(root: str = ".") -> None:
    """Run what has changed, in the order of DVC's graph."""
    quiet()
    folder = Path(root).resolve() if root != "." else current_settings().root
    with ended_together():
        ingest_task()
        _run(folder)
        _publish(folder)


def worth_a_retry(_task: object, _run: object, state: State[Any]) -> bool:
    """Whether a failed stage could succeed at the next try; asked by Prefect."""
    fault = state.result(raise_on_failure=False)
    return not isinstance(fault, StageError) or fault.can_heal


def _run(root: Path) -> None:
    """Submit every stage behind those it needs, and wait."""
    plan = dvc_stages.read_plan(root)
    logger = get_run_logger()
    logger.info("%d stages, to run: %s", len(plan.stages), ", ".join(sorted(plan.changed)) or "none")
    progress = create_progress_artifact(progress=0.0, key="stages", description="stages done")
    futures: dict[str, PrefectFuture[Any]] = {}
    for stage in plan.stages:
        run = stage_task.with_options(name=stage.name, task_run_name=stage.name, retries=stage.retries,
                                      retry_delay_seconds=2, retry_condition_fn=worth_a_retry, tags=list(stage.tags))
        futures[stage.name] = run.submit(str(root), stage.name, stage.role,
                                         wait_for=[futures[name] for name in stage.needs])
    _finish(futures, progress)


def _finish(futures: dict[str, PrefectFuture[Any]], progress: Any) -> None:
    """Wait for every stage; the first failure, with its last lines, is the failure of the run."""
    faults: list[BaseException] = []
    for done, future in enumerate(futures.values(), start=1):
        future.wait()
        update_progress_artifact(artifact_id=progress, progress=100.0 * done / len(futures))
        if future.state.is_failed() or future.state.is_crashed():
            try:
                future.result()
            except BaseException as fault:
                faults.append(fault)
    if faults:
        raise faults[0]


def _publish(root: Path) -> None:
    """What came out, on the run's page: the report, its table, and where MLflow has the runs."""
    summary, report = root / "artifacts/report/summary.json", root / "artifacts/report/report.md"
    if summary.is_file():
        create_table_artifact(table_rows(json.loads(summary.read_text(encoding="utf-8"))), key="scores",
                              description="accuracy and call ratio of every method in percent, and what answers cost")
    if report.is_file():
        create_markdown_artifact(report.read_text(encoding="utf-8")[:100_000], key="report",
                                 description="methods x benchmarks")
    note = root / "runs/pipeline.json"
    if note.is_file():
        known = json.loads(note.read_text(encoding="utf-8"))
        create_link_artifact(run_page(known["experiment_id"], known["run_id"]), "the pipeline's run in MLflow",
                             key="mlflow-run", description="`make ui` serves the page")
