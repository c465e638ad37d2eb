"""Packages of real models with random weights, in a project folder of their own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from relayllm import RelayDecoder
from relayllm.packaging.folder import ParityCase
from relayllm.packaging.write import Parts, write_package
from relayllm.settings import Settings, current_settings
from tests.support.places import ROOT
from tests.support.small_models import save_pair
from tests.support.small_packages import DECODING, problem_scores, record

QUESTIONS = ["A farm has 18 boxes with 23 pens each.", "How many pens?", "There are 4 boxes. Then 3 more come."]


def project(root: Path) -> Settings:
    """A project that can be released from, with a registry of its own."""
    for name in ("mlflow", "params.yaml", "constraints.txt"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, root / name)
    store = f"sqlite:///{root}/mlflow.db"
    return replace(current_settings(), root=root, tracking_uri=store, registry_uri=store, experiment="test")


def real_parts(folder: Path) -> Parts:
    """Models on disk, and what the decoder answers before it is packed."""
    save_pair(folder)
    decoder = RelayDecoder.from_pretrained(folder / "student", folder / "teacher")
    traces = decoder.generate(QUESTIONS, **DECODING)
    cases = [ParityCase("pens", f"pens-{index}", prompt, trace.text, trace.token_ids)
             for index, (prompt, trace) in enumerate(zip(QUESTIONS, traces, strict=True))]
    said = record(parity=[{name: getattr(case, name) for name in ParityCase.__dataclass_fields__} for case in cases])
    return Parts(folder / "student", folder / "teacher", json.loads(json.dumps(said)), problem_scores(5))


def varied(parts: Parts, settings: Settings, name: str, right: int, **more: Any) -> Path:
    """A package of the same models with another record."""
    said = record(accuracy=right / 10, **{"parity": parts.record["parity"], **more})
    write_package(replace(parts, record=said, problem_scores=problem_scores(right)), settings.root / name, settings)
    return settings.root / name
