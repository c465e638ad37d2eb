"""The ingest stage with a source that needs no network."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from relayllm.config import IngestConfig
from relayllm.errors import ConfigError, DataError
from relayllm.grading import grade
from relayllm.problems.problem import Problem, read_problems
from relayllm.problems.sources.files import Files
from relayllm.problems.sources.huggingface import HuggingFace
from relayllm.problems.sources.source import ProblemSet, SourceQuery
from relayllm.stages.ingest import ingest, run


class Made:
    """A source that makes what is asked for."""

    def read(self, query: SourceQuery) -> ProblemSet:
        name = query.name
        problems = tuple(Problem(f"{name}-{n}", f"{name} {n}?\u2028{query.seed}", str(n), name)
                         for n in range(query.limit))
        return ProblemSet(name, problems, "made", f"seed {query.seed}", "Apache-2.0")


class Broken:
    """A source that is out of reach."""

    def read(self, query: SourceQuery) -> ProblemSet:
        raise DataError("out of reach")


def config(**changes: object) -> IngestConfig:
    values = {"source": "tiny-world", "train": "tiny-world", "train_problems": 5, "benchmarks": ["pens", "boxes"],
              "benchmark_problems": 3, "copies": {}, "columns": {}, "seed": 0}
    return IngestConfig.model_validate({**values, **changes})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ingest_writes_problems_and_a_true_manifest(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ingest(config(), data, {"tiny-world": Made()})
    manifest = json.loads((data / "manifest.json").read_text())
    assert [entry["name"] for entry in manifest["benchmarks"]] == ["pens", "boxes"]
    for entry in (manifest["train"], *manifest["benchmarks"]):
        assert len(read_problems(data / entry["file"])) == entry["rows"]
        assert hashlib.sha256((data / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        assert {"source", "revision", "licence"} <= entry.keys()


def test_ingest_same_params_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        ingest(config(), tmp_path / name, {"tiny-world": Made()})
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_ingest_replaces_the_folder_as_a_whole(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ingest(config(), data, {"tiny-world": Made()})
    ingest(config(benchmarks=["trips"]), data, {"tiny-world": Made()})
    assert sorted(contents(data)) == ["benchmarks/trips.jsonl", "manifest.json", "train.jsonl"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_ingest_failing_source_leaves_the_old_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ingest(config(), data, {"tiny-world": Made()})
    before = contents(data)
    with pytest.raises(DataError, match="out of reach"):
        ingest(config(benchmarks=["gsm8k"]), data, {"tiny-world": Made(), "huggingface": Broken()})
    assert contents(data) == before


def test_ingest_own_files_for_training_and_as_a_benchmark(tmp_path: Path) -> None:
    mine, held_out = tmp_path / "mine.csv", tmp_path / "exam.jsonl"
    mine.write_text("question,answer\nWhat is 1+1?,2\n")
    held_out.write_text('{"question": "What is 2+2?", "answer": 4}\n')
    data = tmp_path / "data"
    ingest(config(source="files", train=str(mine), benchmarks=["pens", str(held_out)]), data,
           {"tiny-world": Made(), "files": Files()})
    assert [problem.answer for problem in read_problems(data / "benchmarks" / "exam.jsonl")] == ["4"]
    assert [problem.family for problem in read_problems(data / "train.jsonl")] == ["mine"]


def test_ingest_public_training_problem_of_a_benchmark_is_dropped_and_named(tmp_path: Path) -> None:
    class Public:
        def read(self, query: SourceQuery) -> ProblemSet:
            word = "mine" if query.training else "shared"
            problems = tuple(Problem(f"{query.name}-{n}", f"What is {n} in words, {word if n else 'shared'}?", "1")
                             for n in range(3))
            return ProblemSet(query.name, problems, "public", "0", "MIT")

    ingest(config(source="huggingface", train="dapo-17k", benchmarks=["gsm8k"]), tmp_path / "data",
           {"huggingface": Public()})
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert manifest["dropped_from_train"] == ["dapo-17k-0"]
    assert [problem.id for problem in read_problems(tmp_path / "data" / "train.jsonl")] == ["dapo-17k-1", "dapo-17k-2"]


def test_ingest_public_question_with_two_answers_is_dropped_and_named(tmp_path: Path) -> None:
    rows = [("How many pens?", 3), ("How many cups?", 4), ("how many  pens?", 5), ("How many cups?", 4)]
    copy = tmp_path / "mawps.jsonl"
    copy.write_text("".join(json.dumps({"input": ask, "target": answer, "type": "", "idx": n}) + "\n"
                            for n, (ask, answer) in enumerate(rows)))
    ingest(config(source="huggingface", train="mawps-train", benchmarks=["pens"], copies={"mawps-train": str(copy)}),
           tmp_path / "data", {"tiny-world": Made(), "huggingface": HuggingFace()})
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert manifest["dropped_from_train"] == ["mawps-train-00000", "mawps-train-00002"]


def test_ingest_same_ids_in_two_files_are_told_apart_by_the_sets_names(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text('{"id": 0, "question": "?", "answer": "1"}\n')
    data = tmp_path / "data"
    ingest(config(source="files", train=str(tmp_path / "one.jsonl"), benchmarks=[str(tmp_path / "two.jsonl")]),
           data, {"files": Files()})
    assert [read_problems(data / file)[0].id for file in ("train.jsonl", "benchmarks/two.jsonl")] == ["one-0", "two-0"]


def test_ingest_two_files_of_one_name_collide(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sums.jsonl").write_text('{"question": "?", "answer": "1"}\n')
    with pytest.raises(DataError, match=r"'sums-00001' is in ingest\.train \(sums\) and in sums"):
        ingest(config(source="files", train=str(tmp_path / "a" / "sums.jsonl"),
                      benchmarks=[str(tmp_path / "b" / "sums.jsonl")]), tmp_path / "data", {"files": Files()})


def test_ingest_file_named_like_a_catalogue_set_is_a_set_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "minerva.jsonl"
    path.write_text('{"question": "How far?", "answer": "10000", "family": "minerva"}\n')
    data = tmp_path / "data"
    ingest(config(benchmarks=[str(path)]), data, {"tiny-world": Made(), "files": Files()})
    [problem] = read_problems(data / "benchmarks" / "own-minerva.jsonl")
    assert (problem.id, problem.family) == ("own-minerva-00001", "own-minerva")
    assert grade("\\boxed{10000}", problem).correct
    assert not grade("\\boxed{10001}", problem).correct


def test_ingest_copy_is_read_as_the_catalogues_set(tmp_path: Path) -> None:
    copy = tmp_path / "gsm8k-test.jsonl"
    copy.write_text('{"question": "What is 9 times 2?", "answer": "It is 9 * 2 = 18.\\n#### 18"}\n')
    data = tmp_path / "data"
    ingest(config(benchmarks=["gsm8k"], copies={"gsm8k": str(copy)}), data,
           {"tiny-world": Made(), "huggingface": HuggingFace()})
    [problem] = read_problems(data / "benchmarks" / "gsm8k.jsonl")
    assert (problem.id, problem.family, problem.answer) == ("gsm8k-00000", "gsm8k", "18")
    manifest = json.loads((data / "manifest.json").read_text())
    assert manifest["benchmarks"][0]["revision"].startswith("sha256 ")


@pytest.mark.parametrize(("columns", "row"), [
    ({"question": "prompt", "answer": "target"}, {"prompt": "What is 1+1?", "target": 2}),
    ({"question": ["body", "ask"], "answer": "truth.0"}, {"body": "What", "ask": "is 1+1?", "truth": [2]}),
    ({"question": "messages.0.content", "answer": "reward.truth"},
     {"messages": [{"role": "user", "content": "What is 1+1?"}], "reward": {"truth": "2"}}),
])
def test_ingest_columns_map_a_file(tmp_path: Path, columns: dict, row: dict) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(row) + "\n")
    data = tmp_path / "data"
    ingest(config(source="files", train=str(path), columns={"mine": columns}), data,
           {"tiny-world": Made(), "files": Files()})
    [problem] = read_problems(data / "train.jsonl")
    assert (problem.question, problem.answer, problem.meta) == ("What is 1+1?", "2", {})


@pytest.mark.parametrize(("changes", "said"), [
    ({"benchmarks": ["pens", "pencils"]}, "'pencils'; there are pens, boxes"),
    ({"benchmarks": ["pens", "pens"]}, "pens twice"),
    ({"source": "huggingface", "train": "dapo"}, "'dapo'; source huggingface has dapo-17k"),
    ({"copies": {"gsm8k": "x.jsonl"}}, "ingest.copies names gsm8k, which this run does not read; it reads no such set"),
    ({"benchmarks": ["mine.csv"], "columns": {"yours": {}}}, "names yours, .*; it reads mine"),
    ({"benchmarks": ["mine.csv"], "columns": {"mine": {"hint": "a"}}}, "maps hint; a problem has id, question"),
])
def test_ingest_unknown_names_say_which_there_are(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ingest(config(**changes), tmp_path / "data", {"tiny-world": Made(), "huggingface": Made()})


def test_run_tiny_world_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(config(train_problems=50, benchmark_problems=5), data=tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
