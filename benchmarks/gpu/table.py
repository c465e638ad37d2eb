"""The results as a table in Markdown, for docs/decoder.md and for whoever waited."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu.results import Results


def table(results: Results) -> str:
    """A row per measure, then tokens per second by rows, then what there is no measure of."""
    parts = results.parts
    lines = ["", "| part | measure | goal | value |", "|---|---|---|---|", *_tests(parts.get("tests", {}))]
    for name, part in parts.items():
        lines += [_row(name, *each) for each in (part.get("result") or {}).get("measures", {}).items()]
    lines += ["", *_by_rows(parts)]
    lines += [f"{name}: {part['status']}: {part.get('error', '').splitlines()[-1]}" for name, part in parts.items()
              if part["status"] != "done"]
    return "\n".join([*lines, "", f"All of it: {results.path}"])


def _row(part: str, name: str, measure: dict[str, Any]) -> str:
    goal = "" if measure["goal"] is None else f"{'<=' if measure['at_most'] else '>='} {measure['goal']}"
    return f"| {part} | {name} | {goal} | {measure['value']:.3f} |"


def _tests(part: dict[str, Any]) -> list[str]:
    found = part.get("result")
    if not found:
        return []
    bad = found["failures"] + found["errors"]
    return [f"| tests | passed of {found['tests']}, {found['skipped']} skipped | | "
            f"{found['tests'] - bad - found['skipped']} |"]


def _by_rows(parts: dict[str, Any]) -> list[str]:
    """Tokens per second of the student: ours, with graphs, vLLM's."""
    speeds = {name: next(iter(found["measures"].values()))["details"]["tokens_per_second"]
              for name in ("rows", "rows_graphs", "vllm")
              if (found := parts.get(name, {}).get("result")) and found.get("measures")}
    counts = sorted({count for speed in speeds.values() for count in speed}, key=int)
    if not counts:
        return []
    return ["| tokens/s, rows: | " + " | ".join(counts) + " |", "|---|" + "---|" * len(counts),
            *(f"| {name} | " + " | ".join(f"{speed[count]:.0f}" if count in speed else "" for count in counts) + " |"
              for name, speed in speeds.items()), ""]
