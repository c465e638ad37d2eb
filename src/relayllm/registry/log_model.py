"""Log a package to MLflow: a run under the pipeline's, and a model with parameters, scores and data set."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from relayllm.packaging.folder import Package
from relayllm.settings import Settings
from relayllm.tracking.provenance import file_hash
from relayllm.tracking.run import flat
from relayllm.tracking.writer import experiment_id

if TYPE_CHECKING:
    from mlflow.entities import Metric

    from mlflow import MlflowClient

SCORES = ("accuracy", "call_ratio", "completion_tokens", "calls_per_answer")
DATA = "data"
"""The data set's name in MLflow, as in `data.dvc`."""


def log_package(client: MlflowClient, package: Package, name: str, settings: Settings) -> tuple[str, str]:
    """Log a package as a model; returns the ids of model and run. The run stays open for its caller."""
    from mlflow.entities import LoggedModelOutput

    experiment = experiment_id(client, settings)
    run = _open_run(client, package, experiment, settings)
    model = client.create_logged_model(experiment, name, run, package_tags(package), _params(settings), "relay-decoder")
    with tempfile.TemporaryDirectory() as folder:  # the copy in the store knows its id, for traces
        marked = Path(folder) / "MLmodel"
        shutil.copyfile(package.folder / "MLmodel", marked)
        marked.write_text(marked.read_text(encoding="utf-8").replace(
            "model_id: null", f"model_id: {model.model_id}\nrun_id: {run}"), encoding="utf-8")
        client.log_model_artifacts(model.model_id, str(package.folder))
        client.log_model_artifacts(model.model_id, folder)
    client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])
    client.log_batch(run, metrics=metric_entries(scores(package), model.model_id, run, _digest(package)))
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id), str(run)


def scores(package: Package) -> dict[str, float]:
    """The numbers a version carries: those of every benchmark, of their average, and the cost of 1,000 answers."""
    rows = {f"{name}/": score for name, score in package.metrics["benchmarks"].items()}
    rows[""] = package.metrics["average"]
    found = {f"{prefix}{key}": float(score[key]) for prefix, score in rows.items() for key in SCORES
             if score.get(key) is not None}
    more = {"gap_recovered": (package.record.get("gap_recovered") or {}).get("value"),
            "cost": (package.cost or {}).get("cost")}
    return found | {name: float(value) for name, value in more.items() if value is not None}


def package_tags(package: Package) -> dict[str, str]:
    """Where a package comes from, for runs, models and versions."""
    names = {"method": "method", "profile": "profile", "git_commit": "git_commit", "data": "data_md5",
             "params": "params_md5"}
    return {tag: str(package.record.get(key) or "") for tag, key in names.items()}


def metric_entries(values: Mapping[str, float], model: str, run: str, digest: str = "") -> list[Metric]:
    """MLflow's form of numbers that belong to a model, and to the data set when its digest is given."""
    from mlflow.entities import Metric

    name, now = DATA if digest else None, int(time.time() * 1000)
    return [Metric(key, value, now, 0, model_id=model, dataset_name=name, dataset_digest=digest or None, run_id=run)
            for key, value in values.items()]


def _open_run(client: MlflowClient, package: Package, experiment: str, settings: Settings) -> str:
    """A run for the registration, under the pipeline's when that is in this store, with the data set as input."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    parent = _pipeline_run(client, experiment, settings)
    tags = {**package_tags(package), "stage": "release", "dvc_lock": file_hash(settings.root / "dvc.lock")}
    if parent:
        tags["mlflow.parentRunId"] = parent
    run = str(client.create_run(experiment, tags=tags, run_name="release").info.run_id)
    if _digest(package):
        rows = json.dumps({"problems": {bench: len(rows) for bench, rows in package.problem_scores().items()}})
        data = Dataset(DATA, _digest(package), "dvc", json.dumps({"uri": "data.dvc"}), profile=rows)
        client.log_inputs(run, datasets=[DatasetInput(data, [InputTag("mlflow.data.context", "evaluation")])])
    return run


def _pipeline_run(client: MlflowClient, experiment: str, settings: Settings) -> str:
    """The pipeline's run, if this store has it: numbers of experiments are the same in many stores, runs' are not."""
    from mlflow.exceptions import MlflowException

    note = settings.runs / "pipeline.json"
    known = json.loads(note.read_text(encoding="utf-8")) if note.is_file() else {}
    try:
        found = client.get_run(known["run_id"]).info if known else None
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return ""
    return str(found.run_id) if found and found.experiment_id == experiment else ""


def _digest(package: Package) -> str:
    """The data set's DVC digest; MLflow takes 36 characters."""
    return str(package.record.get("data_md5") or "").removesuffix(".dir")[:36]


def _params(settings: Settings) -> dict[str, str]:
    import yaml

    path = settings.params
    given = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {name: str(value)[:500] for name, value in flat(given or {}, ".")}
