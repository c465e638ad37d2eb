"""Pictures of how a policy was trained and of when it calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from relayllm.evaluation.report.plots import INK, MUTED, PAPER, RELAY, colour_of, percent

SCENARIOS = {"student_solvable": ("student-solvable", "#9bb9e4"),
             "teacher_dependent": ("teacher-dependent", "#eba84a"),
             "teacher_unsolvable": ("teacher-unsolvable", "#c9ced4")}
INK_ON_SHARES = "#1c2734"
"""Dark on the page's dark, too: the areas below it keep their colours."""


def learning(histories: Mapping[str, Sequence[Mapping[str, float]]], relay: str) -> Figure:
    """Learning curves: a line per run, dots where held-out problems were answered; scenarios of the relay's run."""
    figure = Figure(figsize=(9.4, 5.2), layout="constrained")
    panels = figure.subplots(2, 3).flat
    shown = (("reward", "reward", None), ("accuracy", "accuracy", "held_out_accuracy"),
             ("call ratio", "call_ratio", "held_out_call_ratio"), ("answers that call", "callers", None))
    for axes, (title, key, held_out) in zip(panels, shown, strict=False):
        for name, rows in histories.items():
            _curve(axes, rows, key, held_out, colour_of(name), name)
        axes.set_title(title)
        if key != "reward":
            axes.yaxis.set_major_formatter(FuncFormatter(percent))
            axes.set_ylim(bottom=0)
    focus = relay if relay in histories else next(iter(histories))
    _scenarios(panels[4], histories[focus], focus)
    for name, rows in histories.items():
        _curve(panels[5], rows, "length", None, colour_of(name), name)
    panels[5].set_title("tokens per answer")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), labelcolor=INK)
    return figure


def call_lengths(requested: Mapping[str, Sequence[int]]) -> Figure:
    """How many tokens calls ask for: a row of bars per method."""
    chosen = {name: numbers for name, numbers in requested.items() if len(numbers)}
    figure = Figure(figsize=(8.6, 0.7 + 1.0 * max(1, len(chosen))), layout="constrained")
    rows = figure.subplots(max(1, len(chosen)), 1, squeeze=False, sharex=True)[:, 0]
    values = sorted({n for numbers in chosen.values() for n in numbers})
    edges = values if len(values) <= 24 else _edges(values)
    names = [f"{edge}+" if edge == edges[-1] < values[-1] else str(edge) for edge in edges]
    for axes, (name, numbers) in zip(rows, chosen.items(), strict=False):
        _lengths(axes, name, numbers, edges)
        axes.set_xticks(range(len(edges)), names)
    rows[-1].set_xlabel("n: tokens that a call asks for")
    rows[0].set_title("How long calls are, share of a method's calls")
    return figure


def call_places(places: Mapping[str, Sequence[float]], answers: Mapping[str, int], method: str) -> Figure:
    """Where in the answer calls fall: a row per benchmark, 0 the first token, 1 the last."""
    figure = Figure(figsize=(8.6, 0.8 + 0.62 * max(1, len(answers))), layout="constrained")
    rows = figure.subplots(max(1, len(answers)), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
    edges = np.linspace(0, 1, 41)
    for axes, name in zip(rows, answers, strict=False):
        heights = np.histogram(places.get(name, ()), edges)[0] / max(1, answers[name])
        axes.bar(edges[:-1], heights, width=np.diff(edges) * 0.88, align="edge", color=RELAY)
        axes.set_ylabel(name, rotation=0, ha="right", va="center", color=INK)
        axes.yaxis.set_major_locator(MaxNLocator(2, prune="lower"))
        axes.tick_params(axis="y", labelleft=False, labelright=True)
        axes.yaxis.set_major_formatter(FuncFormatter(percent))
        axes.grid(axis="x", visible=False)
    rows[-1].set_xlim(0, 1)
    rows[-1].xaxis.set_major_formatter(FuncFormatter(percent))
    rows[-1].set_xlabel("position in the answer")
    rows[0].set_title(f"Where calls fall ({method}): calls per answer and place")
    return figure


def _curve(axes: Axes, rows: Sequence[Mapping[str, float]], key: str, held_out: str | None, colour: str,
           label: str) -> None:
    points = np.array([(row["step"], row[key]) for row in rows if row.get(key) is not None], dtype=float)
    if not len(points):
        return
    axes.plot(*points.T, color=colour, alpha=0.25, linewidth=1)
    axes.plot(points[:, 0], _smooth(points[:, 1]), color=colour, label=label)
    if held_out:
        found = [(row["step"], row[held_out]) for row in rows if row.get(held_out) is not None]
        if found:
            axes.plot(*zip(*found, strict=True), "o", color=colour, markeredgecolor=PAPER, markersize=5)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def _scenarios(axes: Axes, rows: Sequence[Mapping[str, float]], name: str) -> None:
    whole = [row for row in rows if all(row.get(key) is not None for key in SCENARIOS)]
    if whole:
        steps = [row["step"] for row in whole]
        shares = [_smooth(np.array([row[key] for row in whole], dtype=float)) for key in SCENARIOS]
        axes.stackplot(steps, *shares, colors=[colour for _, colour in SCENARIOS.values()], linewidth=0)
        bottom = np.zeros(len(whole))
        for (label, _), share in zip(SCENARIOS.values(), shares, strict=True):
            widest = int(np.argmax(share))
            if share[widest] > 0.09:
                late = widest >= len(steps) / 2
                axes.text(steps[widest], bottom[widest] + share[widest] / 2, f" {label} ", va="center", fontsize=8,
                          ha="right" if late else "left", color=INK_ON_SHARES)
            bottom = bottom + share
        axes.set_xlim(steps[0], max(steps[-1], steps[0] + 1))
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(FuncFormatter(percent))
    axes.set_title(f"problems, {name}")


def _lengths(axes: Axes, name: str, numbers: Sequence[int], edges: Sequence[int]) -> None:
    counts = Counter(int(np.searchsorted(edges, n, side="right")) - 1 for n in numbers)
    heights = [counts[place] / len(numbers) for place in range(len(edges))]
    bars = axes.bar(range(len(edges)), heights, width=0.8, color=colour_of(name))
    axes.bar_label(bars, [f"{100 * height:.0f} %" if height >= 0.005 else "" for height in heights], fontsize=7,
                   color=MUTED, padding=1)
    axes.set_xlim(-0.6, max(7.4, len(edges) - 0.4))
    axes.set_ylim(0, max(heights) * 1.25)
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.set_ylabel(name, rotation=0, ha="right", va="center", color=INK)


def _edges(values: Sequence[int]) -> list[int]:
    """Where bins begin when there are many different n: 1, 2, 5, 10, 20, 50 ..."""
    steps = [digit * 10**power for power in range(7) for digit in (1, 2, 3, 5, 7)]
    return [step for step in steps if step <= values[-1]]


def _smooth(values: np.ndarray) -> np.ndarray:
    """A running mean over a tenth of the run."""
    width = max(1, len(values) // 10)
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")
