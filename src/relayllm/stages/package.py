"""Stage package: the relay decoder as an MLflow model."""

from __future__ import annotations

import json
from pathlib import Path

from relayllm.config import PackageConfig
from relayllm.errors import DataError


def run(config: PackageConfig, *, model: Path, teacher: Path, report: Path, records: Path, package: Path) -> None:
    """Pack the relay decoder as an MLflow model, from code.

    Beside the weights the package holds what it scored, problem by problem, and a few questions with the answers that
    the decoder gives here and now: the release asks them again.

    Raises:
        ConfigError: the method was not evaluated.
        DataError: report or records are missing.
    """
    import pandas as pd

    from relayllm import RelayDecoder
    from relayllm.packaging.parity import parity_cases, same_as_evaluated
    from relayllm.packaging.write import Parts, package_record, problem_scores, teacher_source, write_package
    from relayllm.progress import print_line
    from relayllm.registry.gates import load_gates
    from relayllm.settings import current_settings

    settings = current_settings()
    summary, rows = report / "summary.json", records / f"{config.method}.parquet"
    for path in (summary, rows):
        if not path.is_file():
            raise DataError(f"no {path}: `dvc repro report` makes it; evaluate.methods must list {config.method!r}")
    table, source = pd.read_parquet(rows), teacher_source(config)
    decoder = RelayDecoder.from_pretrained(model, settings.teacher_at(teacher))
    count = load_gates(settings).gates.parity.prompts
    parity = parity_cases(table, count, decoder, config.decoding)
    same = same_as_evaluated(table, parity)
    print_line(f"{len(parity)} parity questions; of {len(same)} evaluated greedy, {same.count(True)} read the same")
    record = package_record(config, json.loads(summary.read_text(encoding="utf-8")), source, parity)
    embedded = teacher if source.kind == "embedded" else None
    write_package(Parts(model, embedded, record, problem_scores(table)), package)
