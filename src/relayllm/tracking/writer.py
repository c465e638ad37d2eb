"""The process at the far end of a stage's pipe: turns lines of JSON into MLflow calls.

The only module that writes the runs of stages. What a server does not take, because it is away, is spooled.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relayllm.errors import TrackingError
from relayllm.files import write_json
from relayllm.settings import Settings, current_settings, quiet, without_secrets
from relayllm.tracking.provenance import data_digest, file_hash, git_commit
from relayllm.tracking.reach import says_no, unreachable_store
from relayllm.tracking.spool import Sink, Spool, WriterMessage

if TYPE_CHECKING:
    from mlflow import MlflowClient


class RunWriter:
    """Turns messages of a stage into calls of MLflow, for one run."""

    def __init__(self, settings: Settings) -> None:
        from mlflow import MlflowClient

        self._settings = settings
        settings.store.mkdir(parents=True, exist_ok=True)
        self._lock = (settings.store / "writers.lock").open("w")
        with self._alone():  # two first writers would both create the tables
            self._client = MlflowClient(settings.tracking_uri)
            self._experiment = experiment_id(self._client, settings)
        self._run = ""
        self._parent = ""

    def write(self, message: WriterMessage) -> None:
        """Send one message; sent twice, it changes nothing but a table, which grows."""
        getattr(self, "_" + message["kind"])(message)

    def position(self) -> WriterMessage | None:
        """The message that lets another writer go on with this run."""
        return {"kind": "resume", "run": self._run, "parent": self._parent} if self._run else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _resume(self, message: WriterMessage) -> None:
        self._run, self._parent = message["run"], message["parent"]

    def _start(self, message: WriterMessage) -> None:
        if not self._run:
            self._create_run(message)
        self._log_params(message["params"])
        self._log_data_set(message["tags"]["data"])

    def _create_run(self, message: WriterMessage) -> None:
        with self._alone():
            self._parent = self._pipeline_run(message["pipeline"], message["tags"])
        name = "-".join(filter(None, (message["stage"], message["variant"])))
        tags = {**message["tags"], "mlflow.parentRunId": self._parent, "stage": message["stage"],
                "mlflow.source.name": f"relay {message['stage']}", "mlflow.source.type": "PROJECT"}
        if message["variant"]:
            tags["variant"] = message["variant"]
        run = self._client.create_run(self._experiment, start_time=message["time"], tags=tags, run_name=name)
        self._run = run.info.run_id

    def _pipeline_run(self, key: str, tags: Mapping[str, str]) -> str:
        """The run all stages of this pipeline nest under: one per params, commit and store, whoever starts them."""
        there = self._client.search_runs([self._experiment], f"tags.pipeline_key = '{key}'", max_results=1)
        if there:
            run = str(there[0].info.run_id)
            self._client.update_run(run, status="RUNNING")
        else:
            tags = {**tags, "stage": "pipeline", "pipeline_key": key}
            name = f"pipeline {tags.get('profile', '')}"
            run = str(self._client.create_run(self._experiment, tags=tags, run_name=name).info.run_id)
        write_json(self._settings.runs / "pipeline.json", {"run_id": run, "experiment_id": self._experiment})
        return run

    def _log_params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        entries = [Param(name, str(value)[:6000]) for name, value in params.items()]
        for start in range(0, len(entries), 100):
            self._client.log_batch(self._run, params=entries[start:start + 100])

    def _log_data_set(self, digest: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        if not digest:
            return
        source = json.dumps({"uri": "data.dvc"})
        data_set = Dataset(name="data", digest=digest, source_type="dvc", source=source)
        given = DatasetInput(data_set, [InputTag("mlflow.data.context", "pipeline")])
        with self._alone():  # two first writers would both insert the data set
            for run in (self._run, self._parent):
                self._client.log_inputs(run, datasets=[given])

    def _metrics(self, message: WriterMessage) -> None:
        from mlflow.entities import Metric

        entries = [Metric(_safe(name), value, message["time"], message["step"])
                   for name, value in message["values"].items()]
        for start in range(0, len(entries), 500):
            self._client.log_batch(self._run, metrics=entries[start:start + 500])

    def _artifact(self, message: WriterMessage) -> None:
        path = Path(message["path"])
        if path.is_dir():
            self._client.log_artifacts(self._run, str(path), message["folder"] or path.name)
        elif path.is_file():
            self._client.log_artifact(self._run, str(path), message["folder"])

    def _table(self, message: WriterMessage) -> None:
        columns: dict[str, list[Any]] = {name: [] for row in message["rows"] for name in row}
        for row in message["rows"]:
            for name, cells in columns.items():
                cells.append(row.get(name))
        if columns:
            self._client.log_table(self._run, columns, f"tables/{message['name']}.json")

    def _tags(self, message: WriterMessage) -> None:
        for name, value in message["tags"].items():
            self._client.set_tag(self._run, name, value)

    def _end(self, message: WriterMessage) -> None:
        self._client.set_terminated(self._run, message["status"], message["time"])
        self._client.set_tag(self._parent, "dvc_lock", message["dvc_lock"])
        self._client.set_terminated(self._parent, message["status"], message["time"])


def experiment_id(client: MlflowClient, settings: Settings) -> str:
    """The id of the settings' experiment, which is made when there is none."""
    known = client.get_experiment_by_name(settings.experiment)
    return str(known.experiment_id if known else client.create_experiment(settings.experiment, settings.artifact_root))


def _tags(settings: Settings) -> dict[str, str]:
    import yaml

    text = settings.params.read_text() if settings.params.is_file() else ""
    profile = (yaml.safe_load(text) or {}).get("profile", "")
    return {"profile": str(profile), "git_commit": git_commit(settings.root), "mlflow.source.git.commit":
            git_commit(settings.root), "dvc_lock": file_hash(settings.root / "dvc.lock"),
            "params": file_hash(settings.params), "data": data_digest(settings.root)}


def _pipeline_key(settings: Settings) -> str:
    text = f"{file_hash(settings.params)} {git_commit(settings.root)} {settings.tracking_uri} {settings.experiment}"
    return hashlib.sha256(text.encode()).hexdigest()


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "_-. /:" else "_" for letter in name)


class Forwarder:
    """Takes a stage's messages, adds where the result comes from, and sends or spools them."""

    def __init__(self, settings: Settings, connect: Callable[[], Sink]) -> None:
        self._settings = settings
        self._connect = connect
        self._sink: Sink | None = None
        self._spool: Spool | None = None
        self._stage = ""
        self._running = False

    def take(self, message: WriterMessage) -> None:
        """Send a message, or keep it from the first that cannot be sent on."""
        message = {**message, **self._origin(message["kind"])}
        self._stage = str(message.get("stage", self._stage))
        self._running = message["kind"] != "end"
        if self._spool is None:
            try:
                self._sink = self._sink or self._connect()
                self._sink.write(message)
                return
            except Exception as error:
                traceback.print_exc()
                if says_no(error):  # it would at the next try, too
                    return
                self._open_spool()
        assert self._spool is not None
        self._spool.keep(message)

    def close(self) -> None:
        """End a run whose stage was killed."""
        if self._running:
            self.take({"kind": "end", "status": "KILLED", "time": int(time.time() * 1000)})
        if self._spool is not None:
            self._spool.close()

    def _open_spool(self) -> None:
        self._spool = Spool(self._settings, self._stage)
        where = self._sink.position() if self._sink else None
        if where:
            self._spool.keep(where)

    def _origin(self, kind: str) -> dict[str, Any]:
        if kind == "start":
            return {"tags": _tags(self._settings), "pipeline": _pipeline_key(self._settings)}
        return {"dvc_lock": file_hash(self._settings.root / "dvc.lock")} if kind == "end" else {}


def connect(settings: Settings) -> RunWriter:
    """A writer to the tracking server, if it answers; its client gives up after seconds and not after minutes.

    Raises:
        TrackingError: nobody answers at its address.
    """
    address = settings.tracking_uri.rstrip("/")
    if fact := unreachable_store(address):
        raise TrackingError(f"MLFLOW_TRACKING_URI is {without_secrets(address)}, and nobody answers there ({fact}): "
                            "start that server and run `relay sync`")
    for name, value in {"MAX_RETRIES": "2", "BACKOFF_FACTOR": "1", "TIMEOUT": "30"}.items():
        os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", value)
    return RunWriter(settings)


def main() -> None:
    """Read messages, a line of JSON each, from standard input until it closes."""
    quiet()
    settings = current_settings()
    forwarder = Forwarder(settings, lambda: connect(settings))
    try:
        for line in sys.stdin:
            forwarder.take(json.loads(line))
    finally:
        forwarder.close()


if __name__ == "__main__":
    main()
