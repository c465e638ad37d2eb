"""How well planted copies of benchmark questions are found among training questions, and what the search costs.

    python -m benchmarks.contamination --training gsm8k-train=FILE --benchmark gsm8k=FILE --benchmark svamp=FILE

Each file is a local copy of that set of the catalogue, in its own schema.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence

from relayllm.problems.catalogue import BOXED
from relayllm.problems.sources.huggingface import HuggingFace
from relayllm.problems.sources.source import SourceQuery
from relayllm.validation.overlap import overlaps
from relayllm.validation.tables import question_text

OTHERS = ("Ulrike", "Tadeo", "Boaz", "Wanjiru")
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b")
PLANTED, AMONG = 150, 2000
"""Questions of each benchmark that are planted, and training questions around them."""


def renamed(question: str, rng: random.Random) -> str:
    """The question with other names; the same where it has none."""
    for name in dict.fromkeys(NAME.findall(question)):
        question = re.sub(rf"\b{name}\b", rng.choice(OTHERS), question)
    return question


def renumbered(question: str, rng: random.Random) -> str:
    """The question with other names and numbers."""
    return re.sub(r"\d+", lambda found: str(int(found.group()) + rng.randint(1, 9)), renamed(question, rng))


PLANTS: dict[str, Callable[[str, random.Random], str]] = {
    "other names": renamed,
    "prompt's instruction behind": lambda question, _: f"{question} {BOXED}",
    "another instruction behind": lambda question, _: f"{question} Give it with 2 decimals and explain each step.",
    "'12.' before": lambda question, _: f"12. {question}",
    "other names and numbers": renumbered,
}


def read(named: str) -> dict[str, str]:
    """Questions by id of a local copy, given as NAME=FILE."""
    name, _, path = named.partition("=")
    problems = HuggingFace().read(SourceQuery(name, 10**9, 0, False, copy=path)).problems
    return {problem.id: question_text(problem) for problem in problems}


def planted(benchmark: dict[str, str], training: Sequence[str], similarity: float) -> None:
    """Print what became of each kind of planted copy."""
    for kind, plant in PLANTS.items():
        rng = random.Random(0)
        drawn = rng.sample(sorted(benchmark), min(PLANTED, len(benchmark)))
        copies = {each: plant(benchmark[each], rng) for each in drawn}
        changed = [each for each in drawn if copies[each] != benchmark[each]]
        found = overlaps([*(copies[each] for each in changed), *training[:AMONG]], benchmark, similarity)
        counts = Counter("missed" if match is None else match.kind for match in found[:len(changed)])
        print(f"  {kind:28} {len(changed):4} planted: {dict(counts)}")


def search(training: Sequence[str], benchmark: dict[str, str], similarity: float) -> None:
    """Print what is found of growing parts of the training set, with processor seconds."""
    for part in (4, 2, 1):
        count = len(training) // part
        started = time.process_time()
        found = overlaps(training[:count], benchmark, similarity)
        seconds = time.process_time() - started
        print(f"{count:7} against {len(benchmark)}: {seconds:.2f} s, "
              f"{dict(Counter(match.kind for match in found if match))}")


def main() -> None:
    """Read the copies and print both tables for each similarity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", required=True)
    parser.add_argument("--benchmark", action="append", required=True)
    parser.add_argument("--similarity", type=float, nargs="*", default=[0.8, 0.95])
    options = parser.parse_args()
    training = list(read(options.training).values())
    benchmarks = {named.partition("=")[0]: read(named) for named in options.benchmark}
    for similarity in options.similarity:
        print(f"similarity {similarity}")
        search(training, {name: text for each in benchmarks.values() for name, text in each.items()}, similarity)
        for name, questions in benchmarks.items():
            print(f" {name}")
            planted(questions, training, similarity)


if __name__ == "__main__":
    main()
