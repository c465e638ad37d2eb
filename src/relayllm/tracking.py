"""Log a stage to MLflow: the only module that writes runs.

Importing MLflow costs four seconds of processor time, and a stage should not wait for it. So a stage writes lines of
JSON into a pipe, and a small process of its own at the other end (`python -m relayllm.tracking`) writes them to
MLflow. A stage that is killed closes the pipe; its run then says so. Numbers are in MLflow a moment after they are
measured; `registry.settle()` waits for the last of them.
"""

from __future__ import annotations

import fcntl
import hashlib
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

from relayllm.files import write_json
from relayllm.settings import Settings, quiet, settings

Rows = Sequence[Mapping[str, Any]]


class StageRun:
    """The run of one stage: hand it numbers, files and tables."""

    def __init__(self, pipe: IO[str] | None = None) -> None:
        self._pipe = pipe

    def metric(self, name: str, value: float, step: int | None = None) -> None:
        """Log one number."""
        self.metrics({name: value}, step)

    def metrics(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers; nested mappings become names with slashes, what is not a number is left out."""
        numbers = {name: float(value) for name, value in _flat(values, "/") if _is_number(value)}
        self._send({"kind": "metrics", "values": numbers, "step": step or 0, "time": int(time.time() * 1000)})

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Log a file or folder that stays where it is."""
        self._send({"kind": "artifact", "path": str(Path(path).resolve()), "folder": folder})

    def table(self, name: str, rows: Rows) -> None:
        """Log rows that the UI shows as a table."""
        self._send({"kind": "table", "name": name, "rows": [dict(row) for row in rows]})

    def tags(self, tags: Mapping[str, str]) -> None:
        """Tag the run."""
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
def stage_run(name: str, config: Any, *, variant: str = "") -> Iterator[StageRun]:
    """Open the run of a stage, nested under the run of its pipeline.

    `config` is the stage's section; its values become the run's parameters. `variant` tells runs of one stage apart.
    """
    place = settings()
    params = config.model_dump(mode="json") if hasattr(config, "model_dump") else dict(config or {})
    process = _start_writer(place)
    assert process.stdin is not None
    run = StageRun(process.stdin)
    run._send({"kind": "start", "stage": name, "variant": variant, "params": dict(_flat(params, ".")),
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
            write_json(place.runs / "seconds" / f"{label}.json", {"seconds": round(seconds, 1)})
        run._send({"kind": "end", "status": status, "time": int(time.time() * 1000)})
        with suppress(OSError):
            process.stdin.close()
        if process.poll():
            print(f"tracking ended early, see {place.runs / 'tracking.log'}", file=sys.stderr)


def _start_writer(place: Settings) -> subprocess.Popen[str]:
    quiet()
    place.runs.mkdir(parents=True, exist_ok=True)
    lock = os.open(place.runs / "tracking.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_SH)  # held by the writer until it is done, see registry.settle
    try:
        with (place.runs / "tracking.log").open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "relayllm.tracking"], stdin=subprocess.PIPE, stdout=log,
                                    stderr=log, text=True, pass_fds=[lock], start_new_session=True,
                                    env={**os.environ, "OMP_NUM_THREADS": "1"})
    finally:
        os.close(lock)


def _flat(values: Mapping[str, Any], separator: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, separator, name + separator)
        else:
            yield name, value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


class _Writer:
    """The far end of the pipe: turns messages into MLflow calls."""

    def __init__(self, place: Settings) -> None:
        from mlflow import MlflowClient

        self._place = place
        place.store.mkdir(parents=True, exist_ok=True)
        self._lock = (place.store / "writers.lock").open("w")
        with self._alone():  # two first writers would both create the tables
            self._client = MlflowClient(place.tracking_uri)
            self._experiment = _experiment_id(self._client, place)
        self._run = ""
        self._parent = ""
        self._ended = False

    def write(self, message: dict[str, Any]) -> None:
        getattr(self, "_" + message["kind"])(message)

    def close(self) -> None:
        """End a run whose stage was killed."""
        if self._run and not self._ended:
            self._end({"status": "KILLED", "time": int(time.time() * 1000)})

    @contextmanager
    def _alone(self) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _start(self, message: dict[str, Any]) -> None:
        with self._alone():
            self._parent = self._pipeline_run()
        name = "-".join(filter(None, (message["stage"], message["variant"])))
        tags = {**_tags(self._place), "mlflow.parentRunId": self._parent, "stage": message["stage"],
                "mlflow.source.name": f"relay {message['stage']}", "mlflow.source.type": "PROJECT"}
        if message["variant"]:
            tags["variant"] = message["variant"]
        run = self._client.create_run(self._experiment, start_time=message["time"], tags=tags, run_name=name)
        self._run = run.info.run_id
        self._log_params(message["params"])
        self._log_data_set()

    def _pipeline_run(self) -> str:
        """The run all stages of this pipeline nest under: one per params, commit and store, whoever starts them."""
        note = self._place.runs / "pipeline.json"
        key = _pipeline_key(self._place)
        known = json.loads(note.read_text()) if note.is_file() else {}
        if known.get("key") == key:
            self._client.update_run(known["run_id"], status="RUNNING")
            return str(known["run_id"])
        tags = {**_tags(self._place), "stage": "pipeline"}
        run = self._client.create_run(self._experiment, tags=tags, run_name=f"pipeline {tags.get('profile', '')}")
        write_json(note, {"key": key, "run_id": run.info.run_id, "experiment_id": self._experiment})
        return str(run.info.run_id)

    def _log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        entries = [Param(name, str(value)[:6000]) for name, value in params.items()]
        for start in range(0, len(entries), 100):
            self._client.log_batch(self._run, params=entries[start:start + 100])

    def _log_data_set(self) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        digest = data_digest(self._place.root)
        if not digest:
            return
        source = json.dumps({"uri": "data.dvc"})
        data_set = Dataset(name="data", digest=digest, source_type="dvc", source=source)
        given = DatasetInput(data_set, [InputTag("mlflow.data.context", "pipeline")])
        with self._alone():  # two first writers would both insert the data set
            for run in (self._run, self._parent):
                self._client.log_inputs(run, datasets=[given])

    def _metrics(self, message: dict[str, Any]) -> None:
        from mlflow.entities import Metric

        entries = [Metric(_safe(name), value, message["time"], message["step"])
                   for name, value in message["values"].items()]
        for start in range(0, len(entries), 500):
            self._client.log_batch(self._run, metrics=entries[start:start + 500])

    def _artifact(self, message: dict[str, Any]) -> None:
        path = Path(message["path"])
        if path.is_dir():
            self._client.log_artifacts(self._run, str(path), message["folder"] or path.name)
        elif path.is_file():
            self._client.log_artifact(self._run, str(path), message["folder"])

    def _table(self, message: dict[str, Any]) -> None:
        columns: dict[str, list[Any]] = {name: [] for row in message["rows"] for name in row}
        for row in message["rows"]:
            for name, cells in columns.items():
                cells.append(row.get(name))
        if columns:
            self._client.log_table(self._run, columns, f"tables/{message['name']}.json")

    def _tags(self, message: dict[str, Any]) -> None:
        for name, value in message["tags"].items():
            self._client.set_tag(self._run, name, value)

    def _end(self, message: dict[str, Any]) -> None:
        self._ended = True
        self._client.set_terminated(self._run, message["status"], message["time"])
        self._client.set_tag(self._parent, "dvc_lock", file_hash(self._place.root / "dvc.lock"))
        self._client.set_terminated(self._parent, message["status"], message["time"])


def _experiment_id(client: Any, place: Settings) -> str:
    known = client.get_experiment_by_name(place.experiment)
    return str(known.experiment_id if known else client.create_experiment(place.experiment, place.artifact_root))


def _tags(place: Settings) -> dict[str, str]:
    import yaml

    text = place.params.read_text() if place.params.is_file() else ""
    profile = (yaml.safe_load(text) or {}).get("profile", "")
    return {"profile": str(profile), "git_commit": git_commit(place.root), "mlflow.source.git.commit":
            git_commit(place.root), "dvc_lock": file_hash(place.root / "dvc.lock"), "data": data_digest(place.root)}


def _pipeline_key(place: Settings) -> str:
    text = f"{file_hash(place.params)} {git_commit(place.root)} {place.tracking_uri} {place.experiment}"
    return hashlib.sha256(text.encode()).hexdigest()


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_-. /:" else "_" for letter in name)


def git_commit(root: Path) -> str:
    """The commit that is checked out; empty outside of git."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def file_hash(path: Path) -> str:
    """MD5 of a file, as DVC computes it; empty when it is missing."""
    return hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else ""


def data_digest(root: Path) -> str:
    """The MD5 that `data.dvc` pins, without DVC's suffix for folders."""
    import yaml

    pin = root / "data.dvc"
    if not pin.is_file():
        return ""
    return str(yaml.safe_load(pin.read_text())["outs"][0]["md5"]).removesuffix(".dir")


def _main() -> None:
    quiet()
    writer = _Writer(settings())
    try:
        for line in sys.stdin:
            writer.write(json.loads(line))
    finally:
        writer.close()


if __name__ == "__main__":
    _main()
