"""What rounding the student's weights costs: `python -m benchmarks.quantised [MODEL] --types F32 Q8_0 Q4_K_M`.

The package's own student and teacher answer the benchmarks first; then the same with the student exported to each type
and run by llama.cpp. Needs `make pipeline` before, and llama-cpp-python.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from relayllm import RelayDecoder
from relayllm.commands.export import write
from relayllm.grading import grade
from relayllm.packaging.folder import Package, open_package
from relayllm.problems.problem import Problem, read_problems
from relayllm.problems.prompting import messages
from relayllm.registry.client import Registry
from relayllm.relay.trace import Trace
from relayllm.serving.models.loading import CHAMPION, defaults_of, find
from relayllm.settings import current_settings


def main() -> None:
    """Answer with the student in each type, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=CHAMPION, help=f"default {CHAMPION}")
    parser.add_argument("--types", nargs="+", default=["F32", "Q8_0", "Q4_K_M"])
    parser.add_argument("--problems", type=int, default=100, help="of each benchmark, at most")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    package = open_package(find(given.model, current_settings(), Registry).folder)
    problems = [problem for path in sorted((current_settings().root / "data/benchmarks").glob("*.jsonl"))
                for problem in read_problems(path)[:given.problems]]
    teacher = package.teacher.address(package.folder)
    wanted = answered(RelayDecoder.from_pretrained(package.student, teacher), package, problems)
    found = {"folder": figures(wanted, wanted, problems, _bytes(package.student))}
    print("| student | MiB | accuracy | call ratio | answers as before, token for token |\n|---|---|---|---|---|")
    print(line("folder", found["folder"]), flush=True)
    with tempfile.TemporaryDirectory(prefix="relay-quantised-") as folder:
        for kind in given.types:
            file = Path(folder) / f"{kind}.gguf"
            write(package.student, file, kind)
            traces = answered(RelayDecoder.from_pretrained(file, teacher), package, problems)
            found[kind] = figures(traces, wanted, problems, file.stat().st_size)
            print(line(kind, found[kind]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def answered(decoder: RelayDecoder, package: Package, problems: Sequence[Problem]) -> list[Trace]:
    """Greedy answers under the package's own limits."""
    options = {**asdict(defaults_of(package.decoding)), "temperature": 0.0, "teacher_temperature": 0.0}
    return decoder.generate([messages(problem) for problem in problems], **options)


def figures(traces: Sequence[Trace], wanted: Sequence[Trace], problems: Sequence[Problem], size: int) -> dict[str, Any]:
    """Shares of one to three digits."""
    right = [grade(trace.text, problem).correct for trace, problem in zip(traces, problems, strict=True)]
    same = [one.token_ids == other.token_ids for one, other in zip(traces, wanted, strict=True)]
    return {"mib": round(size / 2**20, 2), "problems": len(problems), "accuracy": sum(right) / len(right),
            "call_ratio": sum(trace.call_ratio for trace in traces) / len(traces), "same": sum(same) / len(same)}


def line(name: str, one: dict[str, Any]) -> str:
    """A row of the table."""
    return (f"| {name} | {one['mib']} | {100 * one['accuracy']:.1f} % | {100 * one['call_ratio']:.2f} % | "
            f"{100 * one['same']:.1f} % |")


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    main()
