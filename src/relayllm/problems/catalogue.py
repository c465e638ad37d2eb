"""The benchmarks and training sets there are: where each comes from, how it is asked and how it is graded.

Revisions are commits of the data sets on the Hugging Face hub (BBEH: of its GitHub repository), each seen in several
public projects that pin the same data; a row whose revision is not a commit is refused at ingest, never guessed.
OlympiadBench is the English, text-only, open-ended competition mathematics; it has 674 problems there, the paper says
675. Licences are those of the data cards, or of the original where the card names none.

Adding a benchmark is a row here and, for a new schema, a reader in `sources/schemas.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from relayllm.problems.problem import Problem
from relayllm.problems.sources import schemas

BOXED = r"Please reason step by step, and put your final answer within \boxed{}."
BOXED_LETTER = r"Please reason step by step, and put the letter of your choice within \boxed{}."

BBEH_COMMIT = "80d12ca916b7158f22293fcf3144f4d3d854d4be"
BBEH_TASKS = (
    "boardgame_qa", "boolean_expressions", "buggy_tables", "causal_understanding", "disambiguation_qa",
    "dyck_languages", "geometric_shapes", "hyperbaton", "linguini", "movie_recommendation", "multistep_arithmetic",
    "nycc", "object_counting", "object_properties", "sarc_triples", "shuffled_objects", "spatial_reasoning", "sportqa",
    "temporal_sequence", "time_arithmetic", "web_of_lies", "word_sorting", "zebra_puzzles",
)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One problem set: a row of the catalogue."""

    name: str
    source: Literal["tiny-world", "huggingface", "files"]
    licence: str
    grading: Literal["math", "choice", "text"] = "math"
    instruction: str = ""
    """What follows the question in the prompt; empty: the bare question."""
    samples: int = 1
    """Answers per problem: 1 is greedy pass@1, more is avg@k at the configured temperature."""
    tolerance: float = 0.0
    """Relative difference between numbers that still counts as right."""
    hub: str = ""
    """Data set on the hub, or GitHub repository."""
    revision: str = ""
    """Commit: forty hexadecimal digits."""
    config: str | None = None
    split: str = "test"
    urls: Mapping[str, str] | None = None
    """JSON files to read instead of a hub data set: part -> address, pinned by the revision in it."""
    read: Callable[[Mapping[str, Any], int], Problem] | None = None
    """Turns a row of the source's own schema into a problem."""

    @property
    def greedy(self) -> bool:
        """Whether it is answered once, at temperature 0."""
        return self.samples == 1


def _hub(name: str, hub: str, revision: str, read: Callable[[Mapping[str, Any], int], Problem], licence: str,
         **more: Any) -> Benchmark:
    return Benchmark(name=name, source="huggingface", hub=hub, revision=revision, read=read, licence=licence,
                     **{"instruction": BOXED, **more})


def _tiny(name: str) -> Benchmark:
    return Benchmark(name=name, source="tiny-world", licence="Apache-2.0")


def _by_name(*rows: Benchmark) -> dict[str, Benchmark]:
    return {row.name: row for row in rows}


BENCHMARKS: dict[str, Benchmark] = _by_name(
    *map(_tiny, ("pens", "boxes", "trips", "gardens", "markets", "puzzles")),
    _hub("minerva", "math-ai/minervamath", "ee46ddc498933b1977577953250ca5c66be64f96", schemas.minerva,
         "not declared", tolerance=1e-4),
    _hub("math-500", "HuggingFaceH4/MATH-500", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be", schemas.math_500,
         "not declared (MATH: MIT)"),
    _hub("gsm8k", "openai/gsm8k", "740312add88f781978c0658806c59bc2815b9866", schemas.gsm8k, "MIT", config="main"),
    _hub("olympiadbench", "math-ai/olympiadbench", "4faaf1e6ec17d11a4218a9bf4c049ecaf954dd84", schemas.olympiadbench,
         "not declared (OlympiadBench: MIT)"),
    _hub("aime-2024", "HuggingFaceH4/aime_2024", "2fe88a2f1091d5048c0f36abc874fb997b3dd99a", schemas.aime,
         "not declared", split="train", samples=32),
    _hub("aime-2025", "math-ai/aime25", "563bb8404243c5f09de6ec262f2db674fe5bce9b", schemas.aime,
         "Apache-2.0", samples=32),
    _hub("svamp", "ChilleD/SVAMP", "5e0bf1e5e7c0e9c4bc39180d224f41f3f801b7ef", schemas.svamp, "MIT"),
    _hub("mawps", "MU-NLPC/Calc-mawps", "38c10053efeafd20ab6ff4e08c3ec17de26c19b7", schemas.mawps, "MIT",
         config="default"),
    _hub("asdiv", "EleutherAI/asdiv", "8f95807222d87b4c688c3c22a6ba2801e1fa03e2", schemas.asdiv, "CC-BY-NC-4.0",
         split="validation"),
    _hub("bbeh", "google-deepmind/bbeh", BBEH_COMMIT, schemas.bbeh, "Apache-2.0", grading="text",
         urls={task: f"https://raw.githubusercontent.com/google-deepmind/bbeh/{BBEH_COMMIT}"
                     f"/bbeh/benchmark_tasks/bbeh_{task}/task.json" for task in BBEH_TASKS}),
    _hub("mmlu-pro", "TIGER-Lab/MMLU-Pro", "b189ec765aa7ed75c8acfea42df31fdae71f97be", schemas.mmlu_pro, "MIT",
         grading="choice", instruction=BOXED_LETTER),
    _hub("supergpqa", "m-a-p/SuperGPQA", "4430d4458112c7d4497fdcf94d7cc223313d6acf", schemas.supergpqa, "ODC-BY",
         split="train", grading="choice", instruction=BOXED_LETTER),
)
"""Name -> benchmark. The six families of the tiny world are rows like any other."""

TRAINING_SETS: dict[str, Benchmark] = _by_name(
    _tiny("tiny-world"),
    _hub("dapo-17k", "open-r1/DAPO-Math-17k-Processed", "31dd309567e3da778038cc87d868b6097a3ccf68", schemas.dapo,
         "not declared (DAPO-Math-17k: Apache-2.0)", config="all", split="train"),
    _hub("gsm8k-train", "openai/gsm8k", "740312add88f781978c0658806c59bc2815b9866", schemas.gsm8k, "MIT",
         config="main", split="train"),
    _hub("svamp-train", "ChilleD/SVAMP", "5e0bf1e5e7c0e9c4bc39180d224f41f3f801b7ef", schemas.svamp, "MIT",
         split="train"),
    _hub("mawps-train", "MU-NLPC/Calc-mawps", "38c10053efeafd20ab6ff4e08c3ec17de26c19b7", schemas.mawps, "MIT",
         config="default", split="train"),
)
"""Name -> training set. DAPO-17k is the deduplicated copy of BytedTsinghua-SIA/DAPO-Math-17k, 17,398 problems."""


def row(name: str) -> Benchmark:
    """The row of a benchmark or training set; a set of the user's own files gets the row of a mathematics set."""
    known = BENCHMARKS.get(name) or TRAINING_SETS.get(name)
    return known or Benchmark(name=name, source="files", licence="not stated", instruction=BOXED)


def own_name(name: str) -> str:
    """A name for a set of the user's own that no row of the catalogue has: a row's grading is the row's alone."""
    return f"own-{name}" if name in BENCHMARKS or name in TRAINING_SETS else name


def grading_of(problem: Problem) -> str:
    """The kind of grading a problem needs: what it says itself, or what its benchmark says."""
    return str(problem.meta.get("grading") or row(problem.family).grading)


def tolerance_of(problem: Problem) -> float:
    """Relative difference from the gold number that still counts as right."""
    return float(problem.meta.get("tolerance", row(problem.family).tolerance))
