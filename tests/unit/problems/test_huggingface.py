"""Hub data sets by the real `datasets` library, from small files in each source's own schema."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from relayllm.errors import ConfigError, DataError
from relayllm.grading import grade
from relayllm.problems import catalogue
from relayllm.problems.catalogue import BENCHMARKS, TRAINING_SETS, Benchmark
from relayllm.problems.sources.huggingface import COMMIT, HuggingFace, load_rows, pinned, reachable
from relayllm.problems.sources.source import SourceQuery

HUB = Path(__file__).parent / "hub"
ROWS = {name: row for name, row in {**BENCHMARKS, **TRAINING_SETS}.items() if row.source == "huggingface"}


def local(benchmark: Benchmark) -> Benchmark:
    """The same row of the catalogue, pointing at the small files."""
    folder = HUB / benchmark.name
    if benchmark.urls:
        return replace(benchmark, urls={path.stem: str(path) for path in sorted(folder.glob("*.json"))})
    return replace(benchmark, hub=str(folder), config=None)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ROWS)
def test_huggingface_reads_each_schema(name: str) -> None:
    source = HuggingFace(load=lambda benchmark: load_rows(local(benchmark)))
    found = source.read(SourceQuery(name, 100, 0, name in TRAINING_SETS))
    assert (found.source, found.revision) == (ROWS[name].hub, ROWS[name].revision)
    assert all(problem.id.startswith(f"{name}-") and problem.family == name for problem in found.problems)
    for problem in found.problems:
        assert problem.question.strip()
        assert grade(f"\\boxed{{{problem.answer}}}", problem).correct


@pytest.mark.usefixtures("offline")
def test_huggingface_gsm8k_answer_is_what_follows_the_mark() -> None:
    source = HuggingFace(load=lambda benchmark: load_rows(local(benchmark)))
    first = source.read(SourceQuery("gsm8k", 1000, 0, False)).problems[0]
    assert first.answer == "1350"
    assert first.solution.startswith("There are 6*9")


@pytest.mark.usefixtures("offline")
def test_huggingface_bbeh_joins_its_tasks() -> None:
    source = HuggingFace(load=lambda benchmark: load_rows(local(benchmark)))
    found = source.read(SourceQuery("bbeh", 1000, 0, False)).problems
    assert {problem.meta["task"] for problem in found} == {"word_sorting", "boolean_expressions"}


def test_huggingface_row_in_another_schema_is_named() -> None:
    source = HuggingFace(load=lambda benchmark: [{"question": "?", "answer": "4 #### 4"}, {"query": "?"}])
    with pytest.raises(DataError, match=r"openai/gsm8k.*row 1.*columns: query"):
        source.read(SourceQuery("gsm8k", 10, 0, False))


def test_huggingface_limit_draws_by_seed_and_keeps_order() -> None:
    source = HuggingFace(load=lambda benchmark: ({"question": f"q{n}", "answer": str(n)} for n in range(50)))
    drawn = [source.read(SourceQuery("minerva", 10, seed, False)).problems for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [p.id for p in drawn[0]] == sorted(p.id for p in drawn[0])


def test_huggingface_without_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "0")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(DataError, match=r"minerva.*127\.0\.0\.1.*relay profile tiny"):
        HuggingFace().read(SourceQuery("minerva", 10, 0, False))


def test_reachable_closed_port_is_not() -> None:
    assert not reachable("http://127.0.0.1:9", patience=1.0)


def test_catalogue_every_hub_revision_is_a_commit() -> None:
    assert all(COMMIT.fullmatch(row.revision) for row in ROWS.values())


def test_pinned_moving_revision_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalogue.BENCHMARKS, "gsm8k", replace(BENCHMARKS["gsm8k"], revision="main"))
    with pytest.raises(ConfigError, match=r"'main' is no commit of openai/gsm8k"):
        pinned("gsm8k")


@pytest.mark.parametrize(("name", "row", "question", "answer"), [
    ("svamp", {"ID": "chal-9", "Body": "Two cups hold 290 beans.", "Question": "How many each?", "Equation": "290/2",
               "Type": "Division", "Answer": 145.0}, "Two cups hold 290 beans. How many each?", "145"),
    ("mawps", {"input": "She has 70 shells , 27 are left ?", "target": 43.0, "type": "singleeq", "idx": 0},
     "She has 70 shells , 27 are left ?", "43"),
    ("asdiv", {"body": "A pond has ducks.", "question": "How many?", "answer": "3 (ducks); 4 (frogs)", "formula": "",
               "solution_type": "Sum"}, "A pond has ducks. How many?", "3, 4"),
    ("minerva", {"problem": "How wide?", "solution": "So it is $\\boxed{1.6}$ cm.", "type": "Optics", "idx": 0},
     "How wide?", "1.6"),
])
def test_huggingface_copy_of_an_authors_file_is_read(tmp_path: Path, name: str, row: dict, question: str,
                                                     answer: str) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_text(json.dumps(row) + "\n")
    [problem] = HuggingFace().read(SourceQuery(name, 9, 0, False, copy=str(copy))).problems
    assert (problem.question, problem.answer, problem.family) == (question, answer, name)


@pytest.mark.parametrize(("row", "said"), [
    ({"problem": "?", "answer": "1"}, r"copy\.jsonl:1: not in the schema that svamp has .*columns: problem, answer"),
    ({"ID": "1", "Body": "?", "Question": "", "Equation": "", "Type": "", "Answer": float("nan")}, "its answer is nan"),
    ({"ID": "1", "Body": "?", "Question": "", "Equation": "", "Type": "", "Answer": ""}, "answer is ''"),
])
def test_huggingface_copy_with_another_schema_names_file_and_line(tmp_path: Path, row: dict, said: str) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=said):
        HuggingFace().read(SourceQuery("svamp", 9, 0, False, copy=str(copy)))


def test_huggingface_copy_laid_out_as_its_repository_knows_its_parts(tmp_path: Path) -> None:
    for task in ("word_sorting", "boolean_expressions"):
        (tmp_path / f"bbeh_{task}").mkdir()
        shutil.copy(HUB / "bbeh" / f"{task}.json", tmp_path / f"bbeh_{task}" / "task.json")
    found = HuggingFace().read(SourceQuery("bbeh", 9, 0, False, copy=str(tmp_path))).problems
    assert [problem.meta["task"] for problem in found] == ["boolean_expressions", "word_sorting", "word_sorting"]
