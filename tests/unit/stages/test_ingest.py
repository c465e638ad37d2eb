"""The ingest stage with a source that needs no network."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from relayllm.config import IngestConfig, load_params
from relayllm.errors import ConfigError, DataError
from relayllm.grading import grade
from relayllm.problems.problem import Problem, read_problems
from relayllm.problems.sources.files import Files
from relayllm.problems.sources.huggingface import HuggingFace
from relayllm.problems.sources.source import ProblemSet, SourceQuery
from relayllm.stages.ingest import ingest, run

PARAMS = load_params(Path(__file__).parents[3] / "params" / "tiny.yaml")


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


@pytest.mark.parametrize("own", ["own.jsonl", "benchmarks/exam.jsonl", "notes/a.txt"])
def test_ingest_leaves_files_that_it_did_not_write(tmp_path: Path, own: str) -> None:
    data = tmp_path / "data"
    ingest(config(), data, {"tiny-world": Made()}, 0.8)
    ingest(config(train_problems=6), data, {"tiny-world": Made()}, 0.8)
    (data / ".DS_Store").write_text("a file manager's, which stops nobody")
    ingest(config(train_problems=6), data, {"tiny-world": Made()}, 0.8)
    (data / own).parent.mkdir(exist_ok=True)
    (data / own).write_text("mine")
    before = contents(data)
    with pytest.raises(DataError, match=rf"data holds {own}, which ingest did not write and would remove"):
        ingest(config(), data, {"tiny-world": Made()}, 0.8)
    assert contents(data) == before


def test_ingest_writes_problems_and_a_true_manifest(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ingest(config(), data, {"tiny-world": Made()}, 0.8)
    manifest = json.loads((data / "manifest.json").read_text())
    assert [entry["name"] for entry in manifest["benchmarks"]] == ["pens", "boxes"]
    for entry in (manifest["train"], *manifest["benchmarks"]):
        assert len(read_problems(data / entry["file"])) == entry["rows"]
        assert hashlib.sha256((data / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
        assert {"source", "revision", "licence"} <= entry.keys()


def test_ingest_same_params_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        ingest(config(), tmp_path / name, {"tiny-world": Made()}, 0.8)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_ingest_replaces_the_folder_as_a_whole(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ingest(config(), data, {"tiny-world": Made()}, 0.8)
    ingest(config(benchmarks=["trips"]), data, {"tiny-world": Made()}, 0.8)
    assert sorted(contents(data)) == ["benchmarks/trips.jsonl", "manifest.json", "train.jsonl"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_ingest_failing_source_leaves_the_old_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ingest(config(), data, {"tiny-world": Made()}, 0.8)
    before = contents(data)
    with pytest.raises(DataError, match="out of reach"):
        ingest(config(benchmarks=["gsm8k"]), data, {"tiny-world": Made(), "huggingface": Broken()}, 0.8)
    assert contents(data) == before


def test_ingest_own_files_for_training_and_as_a_benchmark(tmp_path: Path) -> None:
    mine, held_out = tmp_path / "mine.csv", tmp_path / "exam.jsonl"
    mine.write_text("question,answer\nWhat is 1+1?,2\n")
    held_out.write_text('{"question": "What is 2+2?", "answer": 4}\n')
    data = tmp_path / "data"
    ingest(config(source="files", train=str(mine), benchmarks=["pens", str(held_out)]), data,
           {"tiny-world": Made(), "files": Files()}, 0.8)
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
           {"huggingface": Public()}, 0.8)
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert manifest["dropped_from_train"] == ["dapo-17k-0"]
    assert [problem.id for problem in read_problems(tmp_path / "data" / "train.jsonl")] == ["dapo-17k-1", "dapo-17k-2"]


def test_ingest_public_question_with_two_answers_is_dropped_and_named(tmp_path: Path) -> None:
    rows = [("How many pens?", 3), ("How many cups?", 4), ("how many  pens?", 5), ("How many cups?", 4)]
    copy = tmp_path / "mawps.jsonl"
    copy.write_text("".join(json.dumps({"input": ask, "target": answer, "type": "", "idx": n}) + "\n"
                            for n, (ask, answer) in enumerate(rows)))
    ingest(config(source="huggingface", train="mawps-train", benchmarks=["pens"], copies={"mawps-train": str(copy)}),
           tmp_path / "data", {"tiny-world": Made(), "huggingface": HuggingFace()}, 0.8)
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    assert manifest["dropped_from_train"] == ["mawps-train-00000", "mawps-train-00002"]


def test_ingest_same_ids_in_two_files_are_told_apart_by_the_sets_names(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text('{"id": 0, "question": "?", "answer": "1"}\n')
    data = tmp_path / "data"
    ingest(config(source="files", train=str(tmp_path / "one.jsonl"), benchmarks=[str(tmp_path / "two.jsonl")]),
           data, {"files": Files()}, 0.8)
    assert [read_problems(data / file)[0].id for file in ("train.jsonl", "benchmarks/two.jsonl")] == ["one-0", "two-0"]


def test_ingest_two_files_of_one_name_collide(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sums.jsonl").write_text('{"question": "?", "answer": "1"}\n')
    with pytest.raises(DataError, match=r"'sums-00001' is in ingest\.train \(sums\) and in sums"):
        ingest(config(source="files", train=str(tmp_path / "a" / "sums.jsonl"),
                      benchmarks=[str(tmp_path / "b" / "sums.jsonl")]), tmp_path / "data", {"files": Files()}, 0.8)


def test_ingest_file_named_like_a_catalogue_set_is_a_set_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "minerva.jsonl"
    path.write_text('{"question": "How far?", "answer": "10000", "family": "minerva"}\n')
    data = tmp_path / "data"
    ingest(config(benchmarks=[str(path)]), data, {"tiny-world": Made(), "files": Files()}, 0.8)
    [problem] = read_problems(data / "benchmarks" / "own-minerva.jsonl")
    assert (problem.id, problem.family) == ("own-minerva-00001", "own-minerva")
    assert grade("\\boxed{10000}", problem).correct
    assert not grade("\\boxed{10001}", problem).correct


def test_ingest_copy_is_read_as_the_catalogues_set(tmp_path: Path) -> None:
    copy = tmp_path / "gsm8k-test.jsonl"
    copy.write_text('{"question": "What is 9 times 2?", "answer": "It is 9 * 2 = 18.\\n#### 18"}\n')
    data = tmp_path / "data"
    ingest(config(benchmarks=["gsm8k"], copies={"gsm8k": str(copy)}), data,
           {"tiny-world": Made(), "huggingface": HuggingFace()}, 0.8)
    [problem] = read_problems(data / "benchmarks" / "gsm8k.jsonl")
    assert (problem.id, problem.family, problem.answer) == ("gsm8k-00000", "gsm8k", "18")
    manifest = json.loads((data / "manifest.json").read_text())
    assert manifest["benchmarks"][0]["revision"].startswith("sha256 ")


def test_ingest_copy_with_other_columns_is_mapped_and_stays_the_catalogues_set(tmp_path: Path) -> None:
    rows = {"gsm8k": {"prompt": "What is 9 times 2?", "truth": {"value": "It is 9 * 2 = 18.\n#### 18"}},
            "mmlu-pro": {"ask": "Which is red?", "truth": "B", "offers": ["grass", "blood"]},
            "bbeh": {"ask": "Say nothing.", "truth": "None", "family": "pens"}}
    for name, row in rows.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    asked = {"question": "ask", "answer": "truth"}
    data = tmp_path / "data"
    ingest(config(benchmarks=list(rows), copies={name: str(tmp_path / f"{name}.jsonl") for name in rows},
                  columns={"gsm8k": {"question": "prompt", "answer": "truth.value"}, "bbeh": asked,
                           "mmlu-pro": {**asked, "choices": "offers"}}),
           data, {"tiny-world": Made(), "huggingface": HuggingFace()}, 0.8)
    gsm8k, mmlu, bbeh = (read_problems(data / f"benchmarks/{name}.jsonl")[0] for name in rows)
    assert (gsm8k.id, gsm8k.family, gsm8k.answer, gsm8k.solution) == (
        "gsm8k-00000", "gsm8k", "18", "It is 9 * 2 = 18.")
    assert (mmlu.family, mmlu.answer, mmlu.meta["choices"]) == ("mmlu-pro", "B", ["grass", "blood"])
    assert (bbeh.family, bbeh.answer) == ("bbeh", "None")  # graded as text, it is an answer
    assert grade("B", mmlu).correct
    assert grade("The answer is: None", bbeh).correct


def test_ingest_mapped_copy_with_an_id_twice_names_both_rows(tmp_path: Path) -> None:
    row = json.dumps({"id": 7, "ask": "What is 9 times 2?", "truth": "18"}) + "\n"
    (tmp_path / "a.jsonl").write_text(row * 2)
    with pytest.raises(DataError, match=r"a\.jsonl:2: id 'gsm8k-7' is also on line 1"):
        ingest(config(benchmarks=["gsm8k"], copies={"gsm8k": str(tmp_path / "a.jsonl")},
                      columns={"gsm8k": {"question": "ask", "answer": "truth"}}),
               tmp_path / "data", {"tiny-world": Made(), "huggingface": HuggingFace()}, 0.8)


def test_ingest_copy_whose_mapped_column_is_missing_says_which_there_are(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "?", "truth": "1"}\n')
    with pytest.raises(DataError, match=r"maps question of gsm8k to 'ask', .*; its columns are prompt, truth$"):
        ingest(config(benchmarks=["gsm8k"], copies={"gsm8k": str(tmp_path / "a.jsonl")},
                      columns={"gsm8k": {"question": "ask", "answer": "truth"}}),
               tmp_path / "data", {"tiny-world": Made(), "huggingface": HuggingFace()}, 0.8)


@pytest.mark.parametrize(("similarity", "dropped"), [(0.5, ["mawps-train-00000"]), (1.0, [])])
def test_ingest_drops_copies_from_the_similarity_on_that_validation_has(tmp_path: Path, similarity: float,
                                                                        dropped: list[str]) -> None:
    ask = "Tom has 12 red pens and gets 30 more pens, so how many pens has he"
    (tmp_path / "train.jsonl").write_text(json.dumps(
        {"input": f"{ask} at the end of it?", "target": 42, "type": "", "idx": 0}) + "\n" + json.dumps(
        {"input": "What is 1+1?", "target": 2, "type": "", "idx": 1}) + "\n")
    held_out = {"question": f"{ask} when all is done?", "answer": "#### 42"}
    (tmp_path / "test.jsonl").write_text(json.dumps(held_out) + "\n")
    ingest(config(source="huggingface", train="mawps-train", benchmarks=["gsm8k"],
                  copies={"mawps-train": str(tmp_path / "train.jsonl"), "gsm8k": str(tmp_path / "test.jsonl")}),
           tmp_path / "data", {"huggingface": HuggingFace()}, similarity)
    assert json.loads((tmp_path / "data" / "manifest.json").read_text())["dropped_from_train"] == dropped


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
           {"tiny-world": Made(), "files": Files()}, 0.8)
    [problem] = read_problems(data / "train.jsonl")
    assert (problem.question, problem.answer, problem.meta) == ("What is 1+1?", "2", {})


@pytest.mark.parametrize(("changes", "said"), [
    ({"benchmarks": ["pens", "pencils"]}, "'pencils'; there are pens, boxes"),
    ({"benchmarks": ["pens", "pens"]}, "pens twice"),
    ({"source": "huggingface", "train": "dapo"}, "'dapo'; source huggingface has dapo-17k"),
    ({"copies": {"gsm8k": "x.jsonl"}}, "ingest.copies names gsm8k, which this run does not read; it reads no such set"),
    ({"benchmarks": ["mine.csv"], "columns": {"yours": {}}}, "names yours, .*; it reads mine"),
    ({"benchmarks": ["gsm8k"], "columns": {"gsm8k": {"question": "a"}}}, "names gsm8k, .*; it reads no such set"),
    ({"benchmarks": ["mine.csv"], "columns": {"mine": {"hint": "a"}}}, "maps hint; a problem has id, question"),
])
def test_ingest_unknown_names_say_which_there_are(tmp_path: Path, changes: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ingest(config(**changes), tmp_path / "data", {"tiny-world": Made(), "huggingface": Made()}, 0.8)


def test_run_tiny_world_is_the_same_every_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(PARAMS.model_copy(update={"ingest": config(train_problems=50, benchmark_problems=5)}), data=tmp_path / name)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
