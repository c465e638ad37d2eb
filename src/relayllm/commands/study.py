"""`relay study`: the paper's comparisons and ablations over several seeds, in a folder of its own.

Every step is one of the pipeline's own commands; a step whose outputs are there, made by the same params, is not run
again: so a study that was interrupted goes on where it stopped, and one that is given more runs or methods does what is
new. The result is docs/results.md, or another file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

from relayllm.config import Params, load_params
from relayllm.errors import ConfigError, StageError
from relayllm.files import atomic_write
from relayllm.processes import run_in_group
from relayllm.settings import current_settings

MOST_SEEDS = 10 ** 6
PART = "no-filter"
"""The run that is trained on unfiltered problems: as many as the filter was given."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command and the files that say it is done."""

    words: tuple[str, ...]
    outputs: tuple[Path, ...]
    key: str
    """Of the params that made it, and of the steps that it reads."""

    @property
    def note(self) -> Path:
        """Where the key of the outputs is kept."""
        first = self.outputs[0]
        return first.with_name(f".{first.name}.key")

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return (all(path.exists() for path in self.outputs) and self.note.is_file()
                and self.note.read_text(encoding="utf-8") == self.key)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `relay study`."""
    root = current_settings().root
    parser.add_argument("--params", type=Path, default=root / "params/study.yaml", help="default: params/study.yaml")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], metavar="N",
                        help="the repetitions to run (default: 0 1 2); several calls may share the work, a seed each")
    parser.add_argument("--runs", nargs="+", metavar="NAME",
                        help="only these runs of GRPO, and the methods that need no other (default: all in the params)")
    parser.add_argument("--folder", type=Path, default=root / "runs/study", help="where the steps keep their files")
    parser.add_argument("--results", type=Path, default=root / "docs/results.md", help="what is written in the end")
    parser.add_argument("--report-only", action="store_true", help="only write the results of what is there")


def main(arguments: argparse.Namespace) -> int:
    """Run what is missing, seed by seed, and write the results after each."""
    from relayllm.evaluation.report.study_report import missing_seeds, write_results

    _check(arguments)
    for seed in arguments.seeds:
        folder = arguments.folder / f"seed-{seed}"
        if not arguments.report_only:
            params = seeded(arguments.params, folder / "params.yaml", seed, runs=arguments.runs)
            seeded(arguments.params, folder / "unfiltered.yaml", seed, runs=arguments.runs, filtered=False)
            for step in steps(params, folder):
                _run(step, folder)
        write_results(arguments.folder, arguments.results, arguments.seeds)
    if missing := missing_seeds(arguments.folder, arguments.seeds):
        print(f"study: no report of seeds {', '.join(map(str, missing))} in {arguments.folder}: the results are "
              "without them; run `relay study` with these seeds, or bring their folders", flush=True)
    print(f"results in {arguments.results}")
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """What would be noticed after hours, or would count a seed twice."""
    seeds, results = arguments.seeds, arguments.results
    wrong = sorted({seed for seed in seeds if not 0 <= seed < MOST_SEEDS or seeds.count(seed) > 1})
    if wrong:
        raise ConfigError(f"--seeds has {', '.join(map(str, wrong))}: give numbers from 0 to {MOST_SEEDS - 1:,}, each "
                          "once")
    if results.is_dir():
        raise ConfigError(f"--results is the folder {results}: name a file in it, such as {results / 'results.md'}")


def seeded(source: Path, target: Path, seed: int, *, runs: Sequence[str] | None = None,
           filtered: bool = True) -> Params:
    """The study's params with every seed moved on; seed 0 is the file as it is, but for its runs and its filter.

    Raises:
        ConfigError: the params cannot be read, or have no such run, or the one that is evaluated is not among them.
    """
    load_params(source)
    values: dict[str, Any] = YAML(typ="safe").load(source.read_text(encoding="utf-8"))
    values["filter"]["enabled"] &= filtered
    _keep(values, runs or [*values["grpo"]["runs"]])

    def moved(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: moved(inner, name) for name, inner in value.items()}
        return value + 100 * seed if key == "seed" else value

    data = values["ingest"]
    values = moved(values) | {"ingest": data}  # the benchmarks stay the same
    with atomic_write(target) as part:
        part.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return load_params(target)


def _keep(values: dict[str, Any], runs: Sequence[str]) -> None:
    """Leave out every other run, and what is evaluated of it."""
    there, evaluate = values["grpo"]["runs"], values["evaluate"]
    if unknown := [name for name in runs if name not in there]:
        raise ConfigError(f"--runs names {', '.join(unknown)}: the study's params have {', '.join(there)}")
    if evaluate["relay"] not in runs:
        raise ConfigError(f"--runs leaves out {evaluate['relay']}, which evaluate.relay compares with everything else: "
                          "add it")
    values["grpo"]["runs"] = {name: there[name] for name in runs}
    evaluate["methods"] = [name for name in evaluate["methods"] if name in runs or name not in there]
    if values["package"]["method"] not in runs:  # nothing is packaged here
        values["package"]["method"] = evaluate["relay"]


def steps(params: Params, folder: Path) -> Iterator[Step]:
    """The commands of one seed, in order."""
    data, base, metrics, grpo = folder / "data", folder / "base_models", folder / "metrics", folder / "grpo"
    student, teacher, others, warm = base / "student", base / "teacher", base / "others", folder / "warmup/model"
    kept, unfiltered = folder / "filter/problems.jsonl", folder / "unfiltered/problems.jsonl"
    rows, records = folder / "warmup_set/rows.parquet", folder / "evaluate"
    step = Steps(params)

    yield (begun := step("ingest", data / "manifest.json", data=data))
    yield (models := step("base-models", student, teacher, others, reads=[begun], data=data, student=student,
                          teacher=teacher, others=others, metrics=metrics / "base_models.json"))
    yield (chosen := step("filter", kept, reads=[models], data=data, teacher=teacher, kept=kept,
                          metrics=metrics / "filter.json"))
    yield (written := step("warmup-set", rows, reads=[chosen], problems=kept, student=student, warmup_set=rows,
                           metrics=metrics / "warmup_set.json"))
    yield (warmed := step("warmup", warm, reads=[written], warmup_set=rows, student=student, model=warm,
                          metrics=metrics / "warmup.json"))
    part = [warmed]  # what the run without a filter reads
    if PART in step.runs:
        part.append(step("filter", unfiltered, reads=[models], says=PART, params=folder / "unfiltered.yaml",
                         data=data, teacher=teacher, kept=unfiltered, metrics=metrics / "unfiltered.json"))
        yield part[-1]
    trained = []
    for run, config in step.runs.items():
        model, history = grpo / run / "model", grpo / run / "history.json"
        trained.append(step("grpo", model, history, reads=part if run == PART else [warmed], says=config, run=run,
                            problems=unfiltered if run == PART else kept, student=warm, teacher=teacher, model=model,
                            metrics=metrics / f"grpo-{run}.json", history=history))
        yield trained[-1]
    yield (answered := step("evaluate", records, reads=trained, data=data, base=student, warmup=warm, grpo=grpo,
                            teacher=teacher, others=others, records=records, metrics=metrics / "evaluate.json"))
    yield step("report", folder / "report", reads=[answered], records=records, metrics_folder=metrics,
               report=folder / "report")


class Steps:
    """Makes the steps of one seed, each with a key of its params and of the steps that it reads from."""

    def __init__(self, params: Params) -> None:
        self._params = params.model_dump(mode="json")
        self.runs: dict[str, object] = self._params["grpo"].pop("runs")

    def __call__(self, name: str, *outputs: Path, reads: Sequence[Step] = (), says: object = None,
                 **options: Path | str) -> Step:
        """One step; `says` is what of its work neither the params nor the steps before it tell."""
        words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        made_by = [name, self._params[name.replace("-", "_")], says, [one.key for one in reads]]
        return Step((name, *words), outputs, sha256(json.dumps(made_by).encode()).hexdigest())


def environment(folder: Path) -> dict[str, str]:
    """Where the steps of one seed run: params and checkpoints in its folder, tracking in the project's store."""
    return {"RELAY_PARAMS": str(folder / "params.yaml"), "RELAY_RUNS": str(folder / "runs"),
            "RELAY_EXPERIMENT": f"{current_settings().experiment}-study"}


def _run(step: Step, folder: Path) -> None:
    if step.done:
        return
    print(f"study: {' '.join(step.words[:1])} in {folder.name}", flush=True)
    step.note.unlink(missing_ok=True)
    code = run_in_group([sys.executable, "-m", "relayllm.cli", *step.words], {**os.environ, **environment(folder)})
    if code:
        raise StageError(f"the study's step `relay {' '.join(step.words)}` failed with exit code {code}; "
                         "run `relay study` again to go on from here")
    with atomic_write(step.note) as part:
        part.write_text(step.key, encoding="utf-8")
