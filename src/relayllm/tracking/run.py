"""Log a stage to MLflow: numbers, files and tables of one run.

Importing MLflow costs four seconds of processor time, and a stage should not wait for it. So a stage writes lines of
JSON into a pipe, and a small process of its own at the other end (`python -m relayllm.tracking.writer`) writes them to
MLflow. A stage that is killed closes the pipe; its run then says so. Numbers are in MLflow a moment after they are
measured; `flush()` waits for the last of them.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

from relayllm.config.shared import Section
from relayllm.files import write_json
from relayllm.settings import Settings, current_settings, quiet


class StageRun:
    """The run of one stage: hand it numbers, files and tables."""

    def __init__(self, pipe: IO[str] | None = None) -> None:
        self._pipe = pipe

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """Log a number under a name, at a step of the training where it has one."""
        self.metrics({name: value}, step)

    def metrics(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers; nested mappings become names with slashes, what is not a number is left out."""
        numbers = {name: float(value) for name, value in flat(values, "/") if _is_number(value)}
        self._send({"kind": "metrics", "values": numbers, "step": step or 0, "time": int(time.time() * 1000)})

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file or folder that stays where it is."""
        self._send({"kind": "artifact", "path": str(Path(path).resolve()), "folder": folder})

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Log rows that the UI shows as a table."""
        self._send({"kind": "table", "name": name, "rows": [dict(row) for row in rows]})

    def tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the MLflow run."""
        self._send({"kind": "tags", "tags": dict(tags)})

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._pipe is None:
            return
        try:
            self._pipe.write(json.dumps(message, default=str) + "\n")
            self._pipe.flush()
        except OSError:
            self._pipe = None  # the writer ended; its reason is in runs/tracking.log


_NOBODY = StageRun()
_current: ContextVar[StageRun] = ContextVar("stage_run", default=_NOBODY)


def current() -> StageRun:
    """The run of the stage that is running; outside of one (tests, notebooks) an object that logs nowhere."""
    return _current.get()


def report_metrics(path: Path, metrics: Mapping[str, Any]) -> None:
    """Write the JSON that DVC reads and log the same numbers."""
    write_json(path, dict(metrics))
    current().metrics(metrics)


@contextmanager
def stage_run(name: str, config: Section | Mapping[str, object] | None, *, variant: str = "") -> Iterator[StageRun]:
    """Open the run of a stage, nested under the run of its pipeline.

    `config` is the stage's section; its values become the run's parameters. `variant` tells runs of one stage apart.
    """
    settings = current_settings()
    params = config.model_dump(mode="json") if isinstance(config, Section) else dict(config or {})
    process = _start_writer(settings)
    assert process.stdin is not None
    run = StageRun(process.stdin)
    run._send({"kind": "start", "stage": name, "variant": variant, "params": dict(flat(params, ".")),
               "time": int(time.time() * 1000)})
    token = _current.set(run)
    status = "FAILED"
    started = time.monotonic()
    try:
        yield run
        status = "FINISHED"
    finally:
        _current.reset(token)
        seconds = time.monotonic() - started
        run.metric("seconds", seconds)
        if status == "FINISHED":  # apart from what DVC hashes: clocks differ from run to run
            label = "-".join(filter(None, (name, variant)))
            write_json(settings.runs / "seconds" / f"{label}.json", {"seconds": round(seconds, 1)})
        run._send({"kind": "end", "status": status, "time": int(time.time() * 1000)})
        with suppress(OSError):
            process.stdin.close()
        if process.poll():
            print(f"tracking ended early, see {settings.runs / 'tracking.log'}", file=sys.stderr)


def _start_writer(settings: Settings) -> subprocess.Popen[str]:
    quiet()
    settings.runs.mkdir(parents=True, exist_ok=True)
    lock = os.open(settings.runs / "tracking.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_SH)  # held by the writer until it is done, see flush
    try:
        with (settings.runs / "tracking.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "relayllm.tracking.writer"], stdin=subprocess.PIPE,
                                    stdout=log, stderr=log, text=True, pass_fds=[lock], start_new_session=True,
                                    env={**os.environ, "OMP_NUM_THREADS": "1"})
    finally:
        os.close(lock)


def flat(values: Mapping[str, Any], separator: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested mappings as one: names joined by the separator."""
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flat(value, separator, name + separator)
        else:
            yield name, value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def flush(settings: Settings | None = None, seconds: float = 60.0) -> bool:
    """Wait until all tracking writers are done, so that the pipeline's runs are complete; False when some are not.

    A writer holds runs/tracking.lock shared as long as it lives.
    """
    path = (settings or current_settings()).runs / "tracking.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    with path.open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.1)
