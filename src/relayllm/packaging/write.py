"""Write the package: an MLflow model from code, whose bytes depend on its inputs alone."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import relayllm
from relayllm.config import HubModel, PackageConfig, load_params
from relayllm.errors import ConfigError
from relayllm.files import atomic_write, scratch_beside, write_json
from relayllm.packaging.folder import (
    FORMAT,
    PROBLEM_SCORES,
    RECORD,
    ParityCase,
    ProblemScore,
    TeacherSource,
    content_hash,
)
from relayllm.relay.bias_curve import OWN
from relayllm.relay.prices import Prices
from relayllm.settings import Settings, current_settings

NEEDED = ("mlflow", "torch", "transformers", "tokenizers", "safetensors", "pandas", "numpy", "pydantic", "PyYAML",
          "httpx")
"""What the model needs to answer; the pins are those of constraints.txt."""
ORIGIN = ("profile", "seed", "git_commit", "params_md5", "data_md5", "gap_recovered")
"""What a package's record takes over from the report's summary."""
CODE = ("__init__.py", "config", "errors.py", "files.py", "processes.py", "settings.py", "relay", "engines",
        "packaging/__init__.py", "packaging/folder.py", "packaging/pyfunc.py", "packaging/teacher_names.py")
"""Our own source that the model needs to answer; dvc.yaml lists the same for the stage."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a package is made of: two model folders, its record and its problem scores."""

    student: Path
    teacher: Path | None
    """None when the package only says where its teacher is."""
    record: Mapping[str, Any]
    problem_scores: Mapping[str, Any]


def package_record(config: PackageConfig, summary: Mapping[str, Any], source: TeacherSource,
                   parity: Sequence[ParityCase]) -> dict[str, Any]:
    """What the package says about itself: how it decodes, what it scored, where it comes from."""
    methods = summary["methods"]
    if config.method not in methods:
        raise ConfigError(f"package.method is {config.method!r}, the report has {', '.join(methods)}: add it to "
                          "evaluate.methods in params.yaml, or package another one")
    return {
        "format": FORMAT, "method": config.method, "registered_name": config.registered_name,
        **{key: summary.get(key) for key in ORIGIN},
        "decoding": {**config.decoding.model_dump(), **OWN.options()}, "teacher": asdict(source),
        "metrics": methods[config.method],
        "others": {name: method["average"] for name, method in methods.items() if name != config.method},
        "bias_curve": _bias_curve(config.method, summary["bias_curve"]),
        "prices": _prices(), "cost": _cost(config.method, summary.get("money")),
        "parity": [asdict(case) for case in parity],
    }


def _cost(method: str, money: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What its answers cost in the report; None where that has no prices."""
    if not money or method not in money["methods"]:
        return None
    return {"currency": money["prices"]["currency"], "answers": money["answers"], **money["methods"][method]}


def _prices() -> dict[str, Any] | None:
    """The environment's prices, so that the package says what it was evaluated at; None where there are none."""
    prices = Prices.from_environment(os.environ)
    return prices.as_dict() if prices.known else None


def _bias_curve(method: str, curve: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The bias curve; None when it was measured for another policy, or not at all."""
    if curve is None or curve["relay"] != method:
        return None
    return {"points": curve["points"], "training": curve["training"]}


def teacher_source(config: PackageConfig) -> TeacherSource:
    """Where the package will find its teacher, as params.yaml says.

    Raises:
        ConfigError: package.teacher is `hub`, but the teacher did not come from there.
    """
    if config.teacher != "hub":
        return TeacherSource(config.teacher)
    model = load_params(current_settings().params).base_models.teacher
    if not isinstance(model, HubModel):
        raise ConfigError(f"package.teacher is 'hub', but base_models.teacher is of kind {model.kind!r}, which is "
                          "on no hub; use 'embedded'")
    return TeacherSource("hub", model.id, model.revision)


def problem_scores(records: pd.DataFrame) -> dict[str, dict[str, ProblemScore]]:
    """Per benchmark and problem, averaged over samples: share correct, teacher tokens, completion tokens."""
    columns = ["correct", "teacher_tokens", "completion_tokens"]
    problems = records.astype(dict.fromkeys(columns, float)).groupby(["benchmark", "problem_id"], sort=True)
    found: dict[str, dict[str, ProblemScore]] = {}
    for row in problems[columns].mean().round(6).reset_index().to_dict("records"):
        score = (float(row["correct"]), float(row["teacher_tokens"]), float(row["completion_tokens"]))
        found.setdefault(str(row["benchmark"]), {})[str(row["problem_id"])] = score
    return found


def pins(constraints: Path, names: Iterable[str] = NEEDED) -> list[str]:
    """Exact requirements for the packages named, from constraints.txt.

    Raises:
        ConfigError: one of them is not pinned there.
    """
    lines = constraints.read_text(encoding="utf-8").splitlines() if constraints.is_file() else []
    known = {_plain(line.partition("==")[0]): line.strip() for line in lines if "==" in line}
    missing = [name for name in names if _plain(name) not in known]
    if missing:
        raise ConfigError(f"{constraints} does not pin {', '.join(missing)}: a package needs exact versions; add them")
    return [known[_plain(name)] for name in names]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def write_package(parts: Parts, folder: Path, settings: Settings | None = None) -> None:
    """Write the package, whole or not at all. The same parts give the same bytes."""
    import mlflow.pyfunc

    from relayllm.packaging.pyfunc import signature

    settings = settings or current_settings()
    shown = json.loads((settings.root / "mlflow/input_example.json").read_text(encoding="utf-8"))
    example = pd.DataFrame(shown["inputs"])
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with ExitStack() as stack:
        part = stack.enter_context(atomic_write(folder))
        stage = stack.enter_context(scratch_beside(folder))
        artifacts, code = _staged(parts, stage / "artifacts"), _source(stage / "relayllm")
        mlflow.pyfunc.save_model(
            path=part, python_model=str(settings.root / "mlflow/relay_model.py"), artifacts=artifacts,
            signature=signature(parts.record["decoding"]), input_example=example, code_paths=[str(code)],
            pip_requirements=pins(settings.root / "constraints.txt"))
        _settle_bytes(part)


def _staged(parts: Parts, stage: Path) -> dict[str, str]:
    """The parts under the names they have in the package: MLflow takes the last part of each path."""
    write_json(stage / RECORD, parts.record)
    write_json(stage / PROBLEM_SCORES, parts.problem_scores)
    models = {"student": parts.student} | ({"teacher": parts.teacher} if parts.teacher else {})
    for name, source in models.items():
        shutil.copytree(source, stage / name, copy_function=_link)
    return {key: str(stage / name) for key, name in
            {"record": RECORD, "problem_scores": PROBLEM_SCORES, **{name: name for name in models}}.items()}


def _link(source: str, target: str) -> None:
    """Models are large, and MLflow copies them once more: link where the file system can."""
    try:
        os.link(source, target, follow_symlinks=True)
    except OSError:
        shutil.copyfile(source, target)


def _source(copy: Path) -> Path:
    """The code that answers, so that a served version runs what it was made with."""
    origin = Path(relayllm.__file__).parent
    for name in CODE:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if (origin / name).is_dir():
            shutil.copytree(origin / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copyfile(origin / name, copy / name)
    return copy


def _settle_bytes(folder: Path) -> None:
    """Replace what MLflow draws from the clock and from chance by what follows from the content."""
    for cache in folder.rglob("__pycache__"):
        shutil.rmtree(cache)
    path = folder / "MLmodel"
    model = yaml.safe_load(path.read_text(encoding="utf-8"))
    model["utc_time_created"] = "1970-01-01 00:00:00.000000"
    model["model_uuid"] = content_hash(folder, leave_out=("MLmodel",))
    flavor = model["flavors"]["python_function"]
    flavor["model_code_path"] = Path(flavor["model_code_path"]).name  # where things lay is nobody's business
    for artifact in flavor["artifacts"].values():
        artifact["uri"] = artifact["path"]
    path.write_text(yaml.safe_dump(model, sort_keys=True), encoding="utf-8")
