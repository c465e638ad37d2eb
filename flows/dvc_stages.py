"""Read DVC's graph and reproduce one stage: the only module that touches DVC.

`Repo.index.graph` is not public API; tests/contracts holds it to what is used here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.processes import run
from relayllm.errors import StageError


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
                own = {node.name for node in order if node.changed()}
                stale = {node for node in pins if node.changed()}
        except LockError as error:
            raise StageError(f"another DVC is at work in {root}: {error}\nWait until it is done, or end it, and run "
                             "again") from error
    changed: set[str] = set(own)
    for node, stage in zip(order, stages, strict=True):
        if changed & set(stage.needs) or stale & set(graph.successors(node)):
            changed.add(stage.name)
    return Plan(stages, frozenset(changed))


def is_changed(root: Path, name: str) -> bool:
    """Whether one stage has something to do now."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        stage = next(node for node in repo.index.stages if getattr(node, "name", None) == name)
        with repo.lock:
            return bool(stage.changed())


def _stage(node: Any, graph: Any) -> Stage:
    meta = (node.meta or {}).get("prefect", {})
    needs = tuple(sorted(n.name for n in graph.successors(node) if getattr(n, "name", None)))
    return Stage(node.name, needs, int(meta.get("retries", 0)), tuple(meta.get("tags", ())),
                 tuple(str(out.def_path) for out in node.outs), str(node.cmd), str(meta.get("role", "")))


def reproduce(root: Path, name: str, say: Callable[[str], None], *, force: bool = False) -> None:
    """Run one stage by DVC and pass on what it says, line by line; all that it prints is in its log.

    Raises:
        StageError: the stage failed; its last lines are in the message.
    """
    words = ["dvc", "--wait-for-lock", "repro", "--single-item", *(["--force"] if force else []), name]
    run(words, root, name, say, stage_log(root, name))


def stage_log(root: Path, name: str) -> Path:
    """Where everything lies that a stage printed in its last run."""
    return root / "runs" / "logs" / f"{name}.log"


def pin_data(root: Path, say: Callable[[str], None]) -> None:
    """Bring `data.dvc` in line with `data/`; unchanged data leaves the same bytes."""
    run(["dvc", "--wait-for-lock", "add", "--quiet", "data"], root, "dvc add data", say)


def lock_hash(root: Path) -> str:
    """The hash of dvc.lock: changes with anything that was run again; empty before the first run."""
    lock = root / "dvc.lock"
    return hashlib.md5(lock.read_bytes()).hexdigest() if lock.is_file() else ""
