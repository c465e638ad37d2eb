"""The process at the far end of a stage's pipe: turns lines of JSON into MLflow calls.

The only module that writes the runs of stages.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from relayllm.files import write_json
from relayllm.settings import Settings, current_settings, quiet
from relayllm.tracking.provenance import data_digest, file_hash, git_commit


class Writer:
    """The far end of the pipe: turns messages into MLflow calls."""

    def __init__(self, settings: Settings) -> None:
        from mlflow import MlflowClient

        self._settings = settings
        settings.store.mkdir(parents=True, exist_ok=True)
        self._lock = (settings.store / "writers.lock").open("w")
        with self._alone():  # two first writers would both create the tables
            self._client = MlflowClient(settings.tracking_uri)
            self._experiment = _experiment_id(self._client, settings)
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
        tags = {**_tags(self._settings), "mlflow.parentRunId": self._parent, "stage": message["stage"],
                "mlflow.source.name": f"relay {message['stage']}", "mlflow.source.type": "PROJECT"}
        if message["variant"]:
            tags["variant"] = message["variant"]
        run = self._client.create_run(self._experiment, start_time=message["time"], tags=tags, run_name=name)
        self._run = run.info.run_id
        self._log_params(message["params"])
        self._log_data_set()

    def _pipeline_run(self) -> str:
        """The run all stages of this pipeline nest under: one per params, commit and store, whoever starts them."""
        note = self._settings.runs / "pipeline.json"
        key = _pipeline_key(self._settings)
        known = json.loads(note.read_text()) if note.is_file() else {}
        if known.get("key") == key:
            self._client.update_run(known["run_id"], status="RUNNING")
            return str(known["run_id"])
        tags = {**_tags(self._settings), "stage": "pipeline"}
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

        digest = data_digest(self._settings.root)
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
        self._client.set_tag(self._parent, "dvc_lock", file_hash(self._settings.root / "dvc.lock"))
        self._client.set_terminated(self._parent, message["status"], message["time"])


def _experiment_id(client: Any, settings: Settings) -> str:
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


def main() -> None:
    quiet()
    writer = Writer(current_settings())
    try:
        for line in sys.stdin:
            writer.write(json.loads(line))
    finally:
        writer.close()


if __name__ == "__main__":
    main()
