"""`relay study`: the paper's comparisons and ablations over several seeds, in a folder of its own.

Every step is one of the pipeline's own commands; a step whose outputs are there is not run again, so a study that was
interrupted goes on where it stopped. The result is docs/results.md, or another file.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from relayllm.config import Params, load_params
from relayllm.errors import StageError
from relayllm.files import atomic_write
from relayllm.processes import run_in_group
from relayllm.settings import current_settings

PART = "no-filter"
"""The run that is trained on unfiltered problems: as many as the filter was given."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command and the files that say it is done."""

    words: tuple[str, ...]
    outputs: tuple[Path, ...]

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return all(path.exists() for path in self.outputs)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `relay study`."""
    root = current_settings().root
    parser.add_argument("--params", type=Path, default=root / "params/study.yaml", help="default: params/study.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N",
                        help="the repetitions to run (default: 0 1 2); several calls may share the work, a seed each")
    parser.add_argument("--folder", type=Path, default=root / "runs/study", help="where the steps keep their files")
    parser.add_argument("--results", type=Path, default=root / "docs/results.md", help="what is written in the end")
    parser.add_argument("--report-only", action="store_true", help="only write the results of what is there")


def main(arguments: argparse.Namespace) -> int:
    """Run what is missing, seed by seed, and write the results after each."""
    from relayllm.evaluation.report.study_report import missing_seeds, write_results

    for seed in arguments.seeds:
        folder = arguments.folder / f"seed-{seed}"
        if not arguments.report_only:
            params = seeded(arguments.params, folder / "params.yaml", seed)
            seeded(arguments.params, folder / "unfiltered.yaml", seed, filtered=False)
            for step in steps(params, folder):
                _run(step, folder)
        write_results(arguments.folder, arguments.results, arguments.seeds)
    if missing := missing_seeds(arguments.folder, arguments.seeds):
        print(f"study: no report of seeds {', '.join(map(str, missing))} in {arguments.folder}: the results are "
              "without them; run `relay study` with these seeds, or bring their folders", flush=True)
    print(f"results in {arguments.results}")
    return 0


def seeded(source: Path, target: Path, seed: int, *, filtered: bool = True) -> Params:
    """The study's params with every seed moved on; seed 0 is the file as it is, but that its filter may be off."""
    values: dict[str, Any] = yaml.safe_load(source.read_text(encoding="utf-8"))
    values["filter"]["enabled"] &= filtered

    def moved(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: moved(inner, name) for name, inner in value.items()}
        return value + 100 * seed if key == "seed" else value

    data = values["ingest"]
    values = moved(values) | {"ingest": data}  # the benchmarks stay the same
    with atomic_write(target) as part:
        part.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return load_params(target)


def steps(params: Params, folder: Path) -> Iterator[Step]:
    """The commands of one seed, in order."""
    data, base = folder / "data", folder / "base_models"
    kept, unfiltered = folder / "filter/problems.jsonl", folder / "unfiltered/problems.jsonl"
    student, teacher, others, warm = base / "student", base / "teacher", base / "others", folder / "warmup/model"
    rows, metrics = folder / "warmup_set/rows.parquet", folder / "metrics"

    def step(name: str, *outputs: Path, **options: Path | str) -> Step:
        words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        return Step((name, *words), outputs)

    yield step("ingest", data / "manifest.json", data=data)
    yield step("base-models", student, teacher, others, data=data, student=student, teacher=teacher, others=others,
               metrics=metrics / "base_models.json")
    yield step("filter", kept, data=data, teacher=teacher, kept=kept, metrics=metrics / "filter.json")
    yield step("warmup-set", rows, problems=kept, student=student, warmup_set=rows, metrics=metrics / "warmup_set.json")
    yield step("warmup", warm, warmup_set=rows, student=student, model=warm, metrics=metrics / "warmup.json")
    if PART in params.grpo.runs:
        yield step("filter", unfiltered, params=folder / "unfiltered.yaml", data=data, teacher=teacher,
                   kept=unfiltered, metrics=metrics / "unfiltered.json")
    for run in params.grpo.runs:
        model, history = folder / "grpo" / run / "model", folder / "grpo" / run / "history.json"
        problems = unfiltered if run == PART else kept
        yield step("grpo", model, history, run=run, problems=problems, student=warm, teacher=teacher, model=model,
                   metrics=metrics / f"grpo-{run}.json", history=history)
    records = folder / "evaluate"
    yield step("evaluate", records, data=data, base=student, warmup=warm, grpo=folder / "grpo", teacher=teacher,
               others=others, records=records, metrics=metrics / "evaluate.json")
    yield step("report", folder / "report", records=records, metrics_folder=metrics, report=folder / "report")


def environment(folder: Path) -> dict[str, str]:
    """Where the steps of one seed run: params and checkpoints in its folder, tracking in the project's store."""
    return {"RELAY_PARAMS": str(folder / "params.yaml"), "RELAY_RUNS": str(folder / "runs"),
            "RELAY_EXPERIMENT": f"{current_settings().experiment}-study"}


def _run(step: Step, folder: Path) -> None:
    if step.done:
        return
    print(f"study: {' '.join(step.words[:1])} in {folder.name}", flush=True)
    code = run_in_group([sys.executable, "-m", "relayllm.cli", *step.words], {**os.environ, **environment(folder)})
    if code:
        raise StageError(f"the study's step `relay {' '.join(step.words)}` failed with exit code {code}; "
                         "run `relay study` again to go on from here")
