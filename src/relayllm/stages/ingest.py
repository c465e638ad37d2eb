"""Stage ingest: write `data/`: training problems, benchmarks, and a manifest that says where each comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from relayllm.config import IngestConfig, Params
from relayllm.errors import ConfigError, DataError
from relayllm.files import atomic_write, write_json
from relayllm.problems.catalogue import BENCHMARKS, TRAINING_SETS, own_name
from relayllm.problems.problem import write_problems
from relayllm.problems.sources.files import Files
from relayllm.problems.sources.huggingface import HuggingFace
from relayllm.problems.sources.records import ENDINGS, is_path, set_name
from relayllm.problems.sources.source import ProblemSet, Source, SourceQuery
from relayllm.problems.sources.tiny_world import TinyWorld
from relayllm.progress import print_line

MAPPABLE = ("id", "question", "answer", "family", "solution", "choices", "grading", "tolerance")
"""Fields of a problem that `ingest.columns` may map."""

SOURCES: Mapping[str, Source] = {"tiny-world": TinyWorld(), "huggingface": HuggingFace(), "files": Files()}
LEFT_BY_SYSTEMS = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""What file managers write into any folder that a person looks at."""


def run(params: Params, *, data: Path) -> None:
    """Write the training problems, the benchmarks and their manifest to a folder."""
    ingest(params.ingest, data, SOURCES, params.validate_.near_duplicate_similarity)


def ingest(config: IngestConfig, data: Path, sources: Mapping[str, Source], similarity: float) -> None:
    """Read every set first, then replace the folder as a whole: the same params give the same bytes.

    From `similarity` on a question of a public training set counts as a benchmark's.
    """
    kinds = [source_of(name) for name in config.benchmarks]
    _check_names(config, kinds)
    _check_folder(data)
    training = _read(sources, config.source, _query(config, _training_name(config), training=True))
    benchmarks = [_read(sources, kind, _query(config, name, training=False))
                  for kind, name in zip(kinds, config.benchmarks, strict=True)]
    training, dropped = usable(config, training, benchmarks, similarity)
    _check(training, benchmarks)
    with atomic_write(data) as folder:
        entries = [_write(folder, f"benchmarks/{each.name}.jsonl", each) for each in benchmarks]
        manifest = {"train": _write(folder, "train.jsonl", training), "benchmarks": entries, "seed": config.seed,
                    "dropped_from_train": dropped}
        write_json(folder / "manifest.json", manifest)
    print_line(f"{data}: {len(training.problems)} training problems, "
               f"{sum(len(each.problems) for each in benchmarks)} in {len(benchmarks)} benchmarks")


def usable(config: IngestConfig, training: ProblemSet, benchmarks: list[ProblemSet],
           similarity: float) -> tuple[ProblemSet, list[str]]:
    """Drop what makes problems of a public training set unusable, and name them for the manifest.

    That is a question of a benchmark, and a question that the set answers in two ways. Nobody can edit a public set;
    in the user's own files both are failures that `validate` reports.
    """
    if config.source != "huggingface":
        return training, []
    from relayllm.validation.overlap import overlaps
    from relayllm.validation.repeats import contradicted
    from relayllm.validation.tables import question_text

    known = {problem.id: question_text(problem) for each in benchmarks for problem in each.problems}
    matches = overlaps([question_text(problem) for problem in training.problems], known, similarity)
    copies = {problem.id for problem, match in zip(training.problems, matches, strict=True)
              if match is not None and match.kind == "copy"}
    two_answers = contradicted(training.problems)
    print_line(f"{training.name}: dropped {len(copies)} problems of a benchmark, {len(two_answers - copies)} whose "
               "question has different answers")
    dropped = copies | two_answers
    kept = tuple(problem for problem in training.problems if problem.id not in dropped)
    return replace(training, problems=kept), [problem.id for problem in training.problems if problem.id in dropped]


def source_of(name: str) -> str:
    """Which source a benchmark is read from.

    Raises:
        ConfigError: neither a row of the catalogue nor a file of problems.
    """
    if name in BENCHMARKS:
        return BENCHMARKS[name].source
    if is_path(name):
        return "files"
    raise ConfigError(f"params.yaml, ingest.benchmarks names {name!r}; there are {', '.join(BENCHMARKS)}, and files "
                      f"ending in {ENDINGS}")


def _training_name(config: IngestConfig) -> str:
    if config.source == "tiny-world":
        return "tiny-world"
    known = [name for name, row in TRAINING_SETS.items() if row.source == config.source]
    if config.source != "files" and config.train not in known:
        raise ConfigError(f"params.yaml, ingest.train is {config.train!r}; source {config.source} has "
                          f"{', '.join(known)}")
    return config.train


def _query(config: IngestConfig, name: str, *, training: bool) -> SourceQuery:
    limit = config.train_problems if training else config.benchmark_problems
    return SourceQuery(name, limit, config.seed, training, config.copies.get(name, ""),
                       config.columns.get(name if name in config.copies else own_name(set_name(name)), {}))


def _read(sources: Mapping[str, Source], kind: str, query: SourceQuery) -> ProblemSet:
    print_line(f"reading {query.name} ({query.copy or kind}) ...")
    return sources[kind].read(query)


def _check_names(config: IngestConfig, kinds: list[str]) -> None:
    """`ingest.copies` and `ingest.columns` are about sets that this run reads."""
    sets = [(_training_name(config), config.source), *zip(config.benchmarks, kinds, strict=True)]
    public = [name for name, kind in sets if kind == "huggingface"]
    own = [own_name(set_name(name)) for name, kind in sets if kind == "files"]
    copied = [name for name in public if name in config.copies]
    for key, given, known in (("copies", config.copies, public), ("columns", config.columns, [*own, *copied])):
        wrong = sorted(set(given) - set(known))
        if wrong:
            raise ConfigError(f"params.yaml, ingest.{key} names {', '.join(wrong)}, which this run does not read; it "
                              f"reads {', '.join(known) or 'no such set'}")
    fields = sorted({field for columns in config.columns.values() for field in columns} - set(MAPPABLE))
    if fields:
        raise ConfigError(f"params.yaml, ingest.columns maps {', '.join(fields)}; a problem has {', '.join(MAPPABLE)}")


def _check_folder(data: Path) -> None:
    """The folder is replaced as a whole: nobody's own files may lie in it."""
    manifest = data / "manifest.json"
    try:
        entries = json.loads(manifest.read_text(encoding="utf-8"))
        made = {manifest, *(data / entry["file"] for entry in (entries["train"], *entries["benchmarks"]))}
    except (OSError, ValueError, LookupError, TypeError):
        made = set()
    others = sorted(str(path.relative_to(data)) for path in data.rglob("*")
                    if not path.is_dir() and path not in made and path.name not in LEFT_BY_SYSTEMS)
    if others:
        raise DataError(f"{data} holds {', '.join(others)[:200]}, which ingest did not write and would remove: move "
                        "that to another folder, such as problems/, and name it there in params.yaml")


def _check(training: ProblemSet, benchmarks: list[ProblemSet]) -> None:
    """Names of files and ids of problems must not collide: later stages find problems by them."""
    names = [each.name for each in benchmarks]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"params.yaml, ingest.benchmarks names {', '.join(twice)} twice: rename a file or remove one")
    home: dict[str, str] = {}
    for place, problems in (("ingest.train", training.problems), *((each.name, each.problems) for each in benchmarks)):
        for problem in problems:
            if home.setdefault(problem.id, place) != place:
                raise DataError(f"problem id {problem.id!r} is in {home[problem.id]} ({training.name}) and in {place}: "
                                "ids begin with the set's name, so give one of the files another name")


def _write(folder: Path, name: str, content: ProblemSet) -> dict[str, Any]:
    path = folder / name
    write_problems(path, content.problems)
    return {"name": content.name, "file": name, "source": content.source, "revision": content.revision,
            "licence": content.licence, "rows": len(content.problems),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}

