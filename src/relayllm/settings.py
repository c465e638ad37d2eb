"""Where things run: the environment's side of the configuration. What changes a result is in `params.yaml`."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from relayllm.errors import ConfigError

QUIET = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}
"""No tool calls home: each would wait for a network that may not be there. None draws a bar into a log."""

THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads of a small model that spin for each other lose their turn to whoever else is on the machine: with two cores
and four busy processes the decoder was 30 times slower (69.8 s against 1.8 s for 256 roll-outs). Read when torch
loads."""

PATIENCE = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180"}
"""Prefect's own server gets 20 seconds to start, which two busy cores do not keep."""

STORES = frozenset({"http", "https", "sqlite", "postgresql", "mysql", "mssql", "databricks", "databricks-uc", "uc"})
"""Kinds of stores that MLflow keeps by itself; plug-ins bring others."""
BARE_STORES = frozenset({"databricks", "databricks-uc", "uc"})
"""Those that need no address behind the kind."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Addresses and folders, read from the environment once per process."""

    root: Path
    """The project's folder."""
    params: Path
    runs: Path
    """Resumable checkpoints and notes of what ran."""
    tracking_uri: str
    registry_uri: str
    experiment: str
    teacher_url: str | None
    """An OpenAI-compatible endpoint that stands in for the teacher named in `params.yaml`."""
    teachers: str | None
    """The YAML file of a pool of teachers, which stands before `teacher_url` wherever a student calls."""
    teacher_tokenizer: str | None
    """Folder or id of that endpoint's tokenizer and chat template, where they are not the student's."""
    student_urls: Mapping[str, tuple[str, ...]]
    """vLLM servers that stand in for students: `base`, `warmup` or a run of GRPO -> its replicas."""
    rollout_urls: Mapping[str, tuple[str, ...]]
    """vLLM servers that write the roll-outs of a run of GRPO, and whose weights its training overwrites."""
    judge_url: str | None
    """An OpenAI-compatible chat endpoint with the model that `evaluate.judge` names."""
    cuda_graphs: bool
    """Decode steps of fixed shapes, on CUDA as graphs: off until somebody has measured them."""

    @property
    def remote_teacher(self) -> str | None:
        """What stands in for a teacher's weights: the pool's file, else the address of one server."""
        return self.teachers or self.teacher_url

    def teacher_at(self, folder: Path) -> str | Path:
        """Where calls go: to what stands in for the teacher, else to its folder. Only here it is decided."""
        return self.remote_teacher or folder

    @property
    def store(self) -> Path:
        """The embedded stores of MLflow and Prefect."""
        return self.root / ".store"

    @property
    def artifact_root(self) -> str | None:
        """Where MLflow keeps files when the store is the embedded one; a server decides for itself."""
        return (self.store / "mlartifacts").as_uri() if self.tracking_uri.startswith("sqlite") else None


def current_settings() -> Settings:
    """Read the environment.

    Raises:
        ConfigError: a variable holds what it cannot mean.
    """
    root = Path(os.environ.get("RELAY_ROOT", ".")).resolve()
    tracking = _store("MLFLOW_TRACKING_URI") or f"sqlite:///{root}/.store/mlflow.db"
    return Settings(
        root=root,
        params=Path(os.environ.get("RELAY_PARAMS") or root / "params.yaml").resolve(),
        runs=Path(os.environ.get("RELAY_RUNS") or root / "runs").resolve(),
        tracking_uri=tracking,
        registry_uri=_store("MLFLOW_REGISTRY_URI") or tracking,
        experiment=os.environ.get("RELAY_EXPERIMENT", "relayllm"),
        teacher_url=os.environ.get("RELAY_TEACHER_URL") or None,
        teachers=_pool_file(os.environ.get("RELAY_TEACHERS") or None),
        teacher_tokenizer=os.environ.get("RELAY_TEACHER_TOKENIZER") or None,
        student_urls=_urls_by_name("RELAY_STUDENT_URLS", "base, warmup or a run of grpo.runs"),
        rollout_urls=_urls_by_name("RELAY_ROLLOUT_URLS", "a run of grpo.runs"),
        judge_url=os.environ.get("RELAY_JUDGE_URL") or None,
        cuda_graphs=os.environ.get("RELAY_CUDA_GRAPHS", "0") == "1",
    )


def _store(variable: str) -> str | None:
    uri = os.environ.get(variable) or None
    if uri is None or uri in BARE_STORES or (uri.startswith("file:") and os.environ.get("MLFLOW_ALLOW_FILE_STORE")):
        return uri
    scheme, found, _ = uri.partition("://")
    kind = scheme.partition("+")[0]
    if not found or (kind not in STORES and kind not in entry_points(group="mlflow.tracking_store").names):
        raise ConfigError(f"{variable} is {without_secrets(uri)!r}, and MLflow keeps no store there: give "
                          "http://SERVER:PORT, sqlite:////FOLDER/mlflow.db or postgresql://..., or unset it for the "
                          "store of this folder")
    return uri


def _pool_file(path: str | None) -> str | None:
    if path is not None and not path.endswith((".yaml", ".yml")):
        raise ConfigError(f"RELAY_TEACHERS is {path!r}: give the .yaml file of a pool of teachers; the address of one "
                          "goes into RELAY_TEACHER_URL")
    return path


def _urls_by_name(variable: str, names: str) -> dict[str, tuple[str, ...]]:
    """`relay-difficulty=http://a,relay-difficulty=http://b,base=http://c`: a name that is there twice has replicas."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in filter(None, (part.strip() for part in os.environ.get(variable, "").split(","))):
        name, _, url = (part.strip() for part in entry.partition("="))
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"{variable} has {entry!r}: write NAME=http://..., with {names} as NAME, and commas "
                              "between")
        found[name] = (*found.get(name, ()), url)
    return found


def check_params_are_dvcs(settings: Settings) -> None:
    """Refuse RELAY_PARAMS for what DVC runs: it hashes params.yaml, and would keep another file's results under that.

    Raises:
        ConfigError: RELAY_PARAMS names another file.
    """
    own = settings.root / "params.yaml"
    if settings.params != own:
        raise ConfigError(f"RELAY_PARAMS is {settings.params}, but the pipeline's stages are DVC's, which reads {own}: "
                          "unset it, or copy the file there")


def without_secrets(text: str) -> str:
    """A text with the account and password in every address left out: what may be printed or noted."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def quiet() -> None:
    """Switch telemetry, update checks and spinning threads off, here and in children; an explicit setting wins."""
    logging.getLogger("DeepSpeed").addFilter(lambda record: "Setting accelerator to CPU" not in record.getMessage())
    warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)  # TRL reads it
    for name, value in {**QUIET, **THREADS, **PATIENCE}.items():
        os.environ.setdefault(name, value)
    store = current_settings().store
    os.environ.setdefault("PREFECT_HOME", str(store / "prefect"))
    os.environ.setdefault("TORCH_EXTENSIONS_DIR", str(store / "torch_extensions"))  # a home may not be writable
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
