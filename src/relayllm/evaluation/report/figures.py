"""Draw every picture of the report from what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from relayllm.evaluation.records import each_call
from relayllm.evaluation.report import plots, plots_calls

WITHOUT = {"money": "nothing has a price", "learning": "no policy was trained", "call_places": "the relay made no call",
           "call_lengths": "no method made a call"}
"""What a picture says that has nothing to show. dvc.yaml names every picture, so each is written."""


def draw(folder: Path, summary: Mapping[str, Any], frame: pd.DataFrame,
         histories: Mapping[str, Sequence[Mapping[str, float]]], relay: str) -> dict[str, str]:
    """Write the pictures as PNG and SVG; give the SVGs by name, in the order of the report, without empty ones."""
    histories = {name: rows for name, rows in histories.items() if rows}
    with plots.style():
        figures = {"pareto": plots.pareto(summary), "benchmarks": plots.benchmarks(summary)}
        if summary["money"] and "teacher" in summary["money"]["methods"]:
            figures["money"] = plots.money(summary)
        if histories:
            figures["learning"] = plots_calls.learning(histories, relay)
        figures |= _of_calls(frame, list(summary["methods"]), relay)
        for name, figure in figures.items():
            plots.save(figure, folder, name)
        for name in WITHOUT.keys() - figures.keys():
            plots.save(plots.empty(WITHOUT[name]), folder, name)
    return {name: (folder / f"{name}.svg").read_text(encoding="utf-8") for name in figures}


def _of_calls(frame: pd.DataFrame, methods: Sequence[str], relay: str) -> dict[str, Any]:
    """Pictures of calls, for methods that decide by themselves when and how long to call."""
    learned = [name for name in methods if name == "warmup" or name.startswith("relay") or name == relay]
    lengths = {name: [n for _, n, _, _ in each_call(frame[frame["method"] == name])] for name in learned}
    lengths = {name: numbers for name, numbers in lengths.items() if numbers}
    found: dict[str, Any] = {}
    if relay in lengths:
        rows = frame[frame["method"] == relay]
        places: dict[str, list[float]] = {}
        for benchmark, _, position, tokens in each_call(rows):
            places.setdefault(benchmark, []).append(position / max(1, tokens))
        answers = {str(name): int(count) for name, count in rows.groupby("benchmark", sort=False).size().items()}
        found["call_places"] = plots_calls.call_places(places, answers, relay)
    if lengths:
        found["call_lengths"] = plots_calls.call_lengths(lengths)
    return found
