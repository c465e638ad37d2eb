"""Read DVC's graph and reproduce one stage: the only module that touches DVC.

`Repo.index.graph` is not public API; tests/contracts holds it to what is used here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from flows.dvc_locks import drop_dead_notes
from flows.processes import run
from relayllm.commands.pool_note import ran_with_another
from relayllm.errors import StageError
from relayllm.settings import current_settings


class StageStatus(Enum):
    """Whether a stage has something to do, and why."""

    UP_TO_DATE = "up to date"
    CHANGED = "changed"
    FORCED = "forced"
    """DVC sees no change, and there is one."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One node of the graph, as a flow needs it."""

    name: str
    needs: tuple[str, ...] = ()
    """Names of the stages whose files it reads."""
    retries: int = 0
    tags: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    command: str = ""
    role: str = ""
    """Of the machines that it needs; empty: any."""
    teachers: tuple[str, ...] = ()
    """What of a pool of teachers its files depend on (`commands.pool_note`)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every stage in an order that works, and the names of those with something to do."""

    stages: tuple[Stage, ...]
    changed: frozenset[str] = field(default_factory=frozenset)
    """Changed by itself, or after one that is."""


def read_plan(root: Path) -> Plan:
    """Read dvc.yaml and dvc.lock, and compare with the files that lie there.

    Raises:
        StageError: another DVC is at work in this folder.
    """
    from dvc.lock import LockError
    from dvc.repo import Repo
    from networkx import dfs_postorder_nodes

    with Repo(str(root)) as repo:
        graph = repo.index.graph
        order = [node for node in dfs_postorder_nodes(graph) if getattr(node, "name", None)]
        stages = tuple(_stage(node, graph) for node in order)
        pins = {node for node in graph if not getattr(node, "name", None)}
        try:
            with repo.lock:
                own = {node.name for node, stage in zip(order, stages, strict=True)
                       if asks_others(stage) or node.changed()}
                stale = {node for node in pins if node.changed()}
        except LockError as error:
            raise StageError(f"another DVC is at work in {root}: {error}\nWait until it is done, or end it, and run "
                             "again") from error
    changed: set[str] = set(own)
    for node, stage in zip(order, stages, strict=True):
        if changed & set(stage.needs) or stale & set(graph.successors(node)):
            changed.add(stage.name)
    return Plan(stages, frozenset(changed))


def stage_status(root: Path, name: str) -> StageStatus:
    """Whether one stage has something to do now, and why."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        node = next(node for node in repo.index.stages if getattr(node, "name", None) == name)
        if asks_others(_stage(node, repo.index.graph)):
            return StageStatus.FORCED
        with repo.lock:
            return StageStatus.CHANGED if node.changed() else StageStatus.UP_TO_DATE


def is_changed(root: Path, name: str) -> bool:
    """Whether one stage has something to do now."""
    return stage_status(root, name) is not StageStatus.UP_TO_DATE


def asks_others(stage: Stage) -> bool:
    """Whether a stage ran here with another pool of teachers than it would ask now: DVC does not see that.

    Raises:
        ConfigError: RELAY_TEACHERS names no pool.
    """
    return bool(stage.teachers) and ran_with_another(current_settings(), stage.name, stage.teachers)


def _stage(node: Any, graph: Any) -> Stage:
    meta = (node.meta or {}).get("prefect", {})
    needs = tuple(sorted(n.name for n in graph.successors(node) if getattr(n, "name", None)))
    return Stage(node.name, needs, int(meta.get("retries", 0)), tuple(meta.get("tags", ())),
                 tuple(str(out.def_path) for out in node.outs), str(node.cmd), str(meta.get("role", "")),
                 tuple(meta.get("teachers", ())))


def reproduce(root: Path, name: str, say: Callable[[str], None], *, force: bool = False) -> None:
    """Run one stage by DVC and pass on what it says, line by line; all that it prints is in its log.

    Raises:
        StageError: the stage failed; its last lines are in the message.
    """
    _drop_dead_notes(root)
    words = ["dvc", "--wait-for-lock", "repro", "--single-item", *(["--force"] if force else []), name]
    run(words, root, name, say, stage_log(root, name))


def stage_log(root: Path, name: str) -> Path:
    """Where everything lies that a stage printed in its last run."""
    return root / "runs" / "logs" / f"{name}.log"


def pin_data(root: Path, say: Callable[[str], None]) -> None:
    """Bring `data.dvc` in line with `data/`; unchanged data leaves the same bytes."""
    _drop_dead_notes(root)
    run(["dvc", "--wait-for-lock", "add", "--quiet", "data"], root, "dvc add data", say)


def _drop_dead_notes(root: Path) -> None:
    """Let no note of a killed process stop what comes; nothing is done while a DVC edits the file."""
    from dvc.lock import LockError, make_lock

    folder = root / ".dvc" / "tmp"
    if (notes := folder / "rwlock").is_file():
        with suppress(LockError), make_lock(str(folder / "rwlock.lock"), tmp_dir=str(folder)):
            drop_dead_notes(notes)
