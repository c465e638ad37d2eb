"""Package folders without weights, which are enough for a registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from relayllm.registry.client import Registry, Version

DECODING = {"max_new_tokens": 24, "temperature": 0.0, "top_p": 1.0, "teacher_temperature": 0.0, "max_calls": 4,
            "max_call_tokens": 9, "slots": 8, "enable_thinking": False}
DATA = "d41d8cd98f00b204e9800998ecf8427e"


def score(accuracy: float, call_ratio: float = 0.05) -> dict[str, Any]:
    """One method on one benchmark, as in summary.json."""
    return {"accuracy": accuracy, "accuracy_ci": [accuracy - 0.1, accuracy + 0.1], "call_ratio": call_ratio,
            "problems": 4, "completion_tokens": 40.0, "calls_per_answer": 1.0}


def problem_scores(right: int, count: int = 10, benchmarks: tuple[str, ...] = ("pens", "boxes")) -> dict[str, Any]:
    """The first `right` of `count` problems of every benchmark solved, 2 of 40 tokens by the teacher."""
    return {name: {f"{name}-{index}": [float(index < right), 2.0, 40.0] for index in range(count)}
            for name in benchmarks}


def record(name: str = "relay-decoder", accuracy: float = 0.5, **more: Any) -> dict[str, Any]:
    """What relay.json says."""
    benchmarks = {"pens": score(accuracy), "boxes": score(accuracy)}
    return {"format": 2, "method": "relay-difficulty", "registered_name": name, "profile": "tiny", "seed": 0,
            "git_commit": "0123456789abcdef", "data_md5": DATA, "gap_recovered": {"value": 0.8, "ci": [0.7, 0.9]},
            "decoding": DECODING, "teacher": {"kind": "embedded", "id": "", "revision": ""},
            "metrics": {"average": score(accuracy), "benchmarks": benchmarks}, "others": {},
            "parity": [{"benchmark": "pens", "problem_id": "pens-0", "prompt": "How many pens?", "text": "4",
                        "token_ids": [1, 2]}], **more}


def hollow_package(folder: Path, right: int = 5, *, count: int = 10, **more: Any) -> Path:
    """A package whose weights are empty files: enough for a registry."""
    for name in ("student", "teacher"):
        (folder / "artifacts" / name).mkdir(parents=True)
        (folder / "artifacts" / name / "model.safetensors").write_bytes(b"")
    (folder / "artifacts/relay.json").write_text(json.dumps(record(accuracy=right / count, **more)))
    (folder / "artifacts/problem_scores.json").write_text(json.dumps(problem_scores(right, count)))
    (folder / "MLmodel").write_text("flavors: {}\nmodel_id: null\n")
    return folder


def register(registry: Registry, folder: Path, name: str, right: int = 5) -> Version:
    """A new version of a hollow package."""
    return registry.register(hollow_package(folder / f"p{right}", right, registered_name=name))
