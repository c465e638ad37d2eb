"""Stage validate: check what was ingested before anything is trained on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relayllm.config import ValidateConfig
from relayllm.errors import DataError
from relayllm.files import atomic_write
from relayllm.problems.problem import Problem, read_problems
from relayllm.progress import print_line


def run(config: ValidateConfig, *, data: Path, report: Path) -> None:
    """Check problems and benchmarks; write what was found as pages, and stop when something must not be."""
    from relayllm.validation.checks import check_problems

    manifest = read_manifest(data)
    training = _read(data, manifest["train"])
    benchmarks = {entry["name"]: _read(data, entry) for entry in manifest["benchmarks"]}
    expected = {"train": manifest["train"]["rows"],
                **{entry["name"]: entry["rows"] for entry in manifest["benchmarks"]}}
    results, failure = [], None
    with atomic_write(report) as folder:
        folder.mkdir()
        try:
            results = check_problems(config, training, benchmarks, expected, folder)
        except DataError as error:
            failure = error  # the pages are wanted most when something is wrong
    if failure is not None:
        raise DataError(f"{data}: {failure}\nPages: {report}/index.html") from failure
    noted = [result for result in results if not result.passed]
    for result in noted:
        print_line(f"note: {result}")
    print_line(f"{len(results) - len(noted)} of {len(results)} expectations hold, pages in {report}/index.html")


def read_manifest(data: Path) -> dict[str, Any]:
    """The manifest of an ingested folder.

    Raises:
        DataError: there is none, or it is not one.
    """
    path = data / "manifest.json"
    if not path.is_file():
        raise DataError(f"no {path}: run `relay ingest`, or `dvc pull` to fetch what data.dvc pins")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for entry in (manifest["train"], *manifest["benchmarks"]):
            entry["name"], entry["file"], entry["rows"], entry["sha256"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a manifest ({type(error).__name__}: {error}): run `relay ingest`") from error
    return manifest


def _read(data: Path, entry: Mapping[str, Any]) -> list[Problem]:
    """The problems of a set, which must be those that were ingested: data/ is never edited."""
    problems = read_problems(data / entry["file"])
    found = hashlib.sha256((data / entry["file"]).read_bytes()).hexdigest()
    if found != entry["sha256"]:
        raise DataError(f"{data / entry['file']} was changed after it was ingested: its sha256 is {found[:12]}..., the "
                        f"manifest says {entry['sha256'][:12]}...; change the source and run `relay ingest`")
    return problems
