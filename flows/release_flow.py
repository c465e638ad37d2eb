"""Register what the pipeline packed, compare it with the champion, promote it if every gate holds, check it.

The steps are `relayllm.registry.release`; the flow adds retries, a page to look at, and the note that says it was done.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

from flows.processes import ended_together
from flows.release_note import write_note
from flows.tracking_page import version_page
from relayllm.errors import ModelError, RegistryError, ServingError
from relayllm.packaging.smoke_test import check
from relayllm.registry import release as steps
from relayllm.registry.champions import rollback
from relayllm.registry.client import CHAMPION, Registry, Version
from relayllm.registry.comparison_text import table, to_markdown
from relayllm.registry.faults import check_registry
from relayllm.registry.gates import load_gates
from relayllm.settings import current_settings, quiet
from relayllm.tracking.run import flush


@task(tags=["release"], cache_policy=NO_CACHE)
def register(package: Path) -> Version:
    """Register the package; one that is registered already keeps its version."""
    logger = get_run_logger()
    if not (package / "MLmodel").is_file():
        raise ModelError(f"no package in {package}: `dvc repro package` makes it")
    if not flush():
        logger.warning("tracking writers are still at work; what they cannot send is kept for `relay sync`")
    version = Registry().register(package)
    create_link_artifact(version_page(version), f"{version.name} {version.number}", key="model-version",
                         description="the version in MLflow; `make ui` serves the page")
    logger.info("%s version %s", version.name, version.number)
    return version


@task(tags=["release"], cache_policy=NO_CACHE)
def compare(version: Version) -> steps.ReleaseDecision:
    """Ask the version, line it up with the champion, judge; what came of it is an artifact and on the version."""
    get_run_logger().info("asking version %s what its package was asked", version.number)
    decision = steps.evaluate_candidate(Registry(), version, load_gates())
    rows: list[dict[str, Any]] = [{name or "benchmark": cell for name, cell in row.items()}
                                  for row in table(decision.comparison)]
    create_table_artifact(rows, key="comparison", description="candidate against champion")
    create_table_artifact([{"gate": gate.name, "holds": gate.passed, "found": gate.detail} for gate in decision.gates],
                          key="gates", description="what the champion alias asks for: mlflow/registry.yaml")
    create_markdown_artifact(to_markdown(decision.comparison, decision.gates), key="comparison-text")
    return decision


@task(tags=["release"], cache_policy=NO_CACHE)
def promote(decision: steps.ReleaseDecision) -> Version:
    """Move the champion alias if every gate holds; else the version stays candidate."""
    version = steps.promote_or_hold(Registry(), decision)
    said = "is champion" if CHAMPION in version.aliases else f"stays candidate, {decision.reason}"
    get_run_logger().info("version %s %s", version.number, said)
    return version


@task(name="check", tags=["release"], retries=1, cache_policy=NO_CACHE)
def check_served(version: Version) -> None:
    """Start MLflow's scoring server on the version, ask it one question, stop it."""
    get_run_logger().info("starting MLflow's scoring server on version %s", version.number)
    prompt = steps.question(Registry().fetch(version))
    row = check(version.uri, prompt)
    get_run_logger().info("asked: %s", prompt)
    get_run_logger().info("answered: %s", row["text"])
    create_markdown_artifact(f"**Asked** {prompt}\n\n**Answered** {row['text']}\n\n{row['calls']} calls, "
                             f"{100 * row['call_ratio']:.1f} % of the tokens are the teacher's",
                             key="served-answer", description="from `mlflow models serve`")


@flow(name="release", log_prints=True)
def release(package: str = "artifacts/package") -> dict[str, Any]:
    """Register, compare, promote, check."""
    quiet()
    check_registry()
    with ended_together():
        version = register(current_settings().root / package)
        was_champion = CHAMPION in version.aliases
        decision = compare(version)
        version = promote(decision)
        if CHAMPION in version.aliases:
            _check_or_undo(version, undo=not was_champion)
    return write_note(version, champion=CHAMPION in version.aliases, reason=decision.reason)


def _check_or_undo(version: Version, *, undo: bool) -> None:
    """A version that passed its gates and does not serve gives the alias back."""
    try:
        check_served(version)
    except ServingError as error:
        try:
            if undo:
                rollback(Registry(), version.name, f"it does not serve: {str(error).splitlines()[0]}")
        except RegistryError as fault:
            raise ServingError(f"{error}\nIt keeps the champion alias: {fault}") from error
        raise
