"""The pictures of the report. Each function draws one figure; `save` writes it as PNG and as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter

INK, MUTED, LINE, PAPER = "#1c2733", "#66737f", "#d8dee6", "#ffffff"
STUDENT, TEACHER, RELAY, COMMAND = "#8694a1", "#d97a06", "#1d5fbf", "#7b55ad"
COLOURS = {"base": STUDENT, "teacher": TEACHER, "relay-difficulty": RELAY, "relay-simple": "#5aa0d8",
           "grpo": "#3c8d5a", "warmup": "#b39b2e", "random-query": "#b06a8f", "random-position": "#b85a55",
           "entropy": "#7d8c4f", "teacher-free": "#6fa8a0"}
FAMILIES = {"call-ratio": "#6d9be0", "fixed": "#8a6d4f", "other-teacher": "#c48a4a"}
OTHERS = ("#4f7c8a", "#6b6f2f", "#7a7a7a", "#52708f", "#8f527a")
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif", "font.sans-serif": ["DejaVu Sans"], "font.size": 9, "svg.fonttype": "path",
    "axes.edgecolor": LINE, "axes.labelcolor": MUTED, "axes.titlecolor": INK, "axes.titlesize": 10,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "grid.color": LINE, "grid.linewidth": 0.6, "axes.axisbelow": True, "text.color": INK,
    "xtick.color": MUTED, "ytick.color": MUTED, "xtick.major.size": 0, "ytick.major.size": 0, "legend.frameon": False,
    "figure.facecolor": PAPER, "axes.facecolor": PAPER, "savefig.facecolor": PAPER, "lines.linewidth": 1.8,
}
Cells = Mapping[str, Any]


@contextmanager
def style() -> Iterator[None]:
    """A context in which figures have the report's colours and fonts."""
    with matplotlib.rc_context(STYLE):
        yield


def colour_of(method: str) -> str:
    """The same colour for a method in every picture."""
    family = next((colour for start, colour in FAMILIES.items() if method.startswith(start)), None)
    return COLOURS.get(method) or family or OTHERS[sum(method.encode()) % len(OTHERS)]


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write PNG and SVG; the same figure gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)  # once, rather than for each format: it takes longer than drawing
        figure.set_layout_engine("none")
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
        figure.savefig(folder / f"{name}.png", dpi=144, metadata={"Software": None})


def empty(why: str) -> Figure:
    """A picture that says why there is none."""
    figure = Figure(figsize=(8.6, 1.2))
    figure.text(0.5, 0.5, why, ha="center", va="center", color=MUTED)
    return figure


def pareto(summary: Mapping[str, Any]) -> Figure:
    """Accuracy against call ratio, averaged over benchmarks, with the random-query router's line."""
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    axes = figure.subplots()
    methods = {name: cells["average"] for name, cells in summary["methods"].items()}
    _square_root_axis(axes)
    if {"base", "teacher"} <= methods.keys():
        _random_line(axes, methods["base"]["accuracy"], methods["teacher"]["accuracy"])
    if summary["bias_curve"]:
        _curve(axes, summary["bias_curve"]["points"])
    for name, cell in methods.items():
        _point(axes, name, cell)
    _key(axes, methods)
    axes.set_xlabel("call ratio: share of tokens that the teacher wrote (square-root scale)")
    axes.set_ylabel("accuracy, mean over benchmarks")
    axes.yaxis.set_major_formatter(FuncFormatter(percent))
    axes.set_title("Accuracy against cost, with 95 % intervals")
    return figure


def money(summary: Mapping[str, Any]) -> Figure:
    """Accuracy against price, from the student alone to the teacher alone."""
    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    axes = figure.subplots()
    paid = summary["money"]
    teacher = paid["methods"]["teacher"]["cost"]
    cells = {name: {**summary["methods"][name]["average"], "call_ratio": one["cost"] / teacher}
             for name, one in paid["methods"].items()}
    _square_root_axis(axes)
    axes.set_xlim(-0.0001, 1.3 * max(1.0, *(cell["call_ratio"] for cell in cells.values())))
    if "base" in cells:
        _random_line(axes, cells["base"]["accuracy"], cells["teacher"]["accuracy"], cells["base"]["call_ratio"])
    for name, cell in cells.items():
        _point(axes, name, cell)
    _key(axes, cells)
    axes.set_xlabel(f"price of an answer: share of the teacher alone, {teacher:.4g} {paid['prices']['currency']} for "
                    f"{paid['answers']:,} (square-root scale)")
    axes.set_ylabel("accuracy, mean over benchmarks")
    axes.yaxis.set_major_formatter(FuncFormatter(percent))
    axes.set_title("Accuracy against price, with 95 % intervals")
    return figure


def benchmarks(summary: Mapping[str, Any]) -> Figure:
    """Accuracy of every method, a panel per benchmark."""
    methods = summary["methods"]
    names = list(dict.fromkeys(name for cells in methods.values() for name in cells["benchmarks"]))
    across = min(3, max(1, len(names)))
    down = -(-len(names) // across) or 1
    size = (9.4, down * (0.5 + 0.235 * len(methods)) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes, name in zip(panels.flat, names, strict=False):
        _bars(axes, {method: cells["benchmarks"].get(name) for method, cells in methods.items()})
        axes.set_title(name)
    for axes in list(panels.flat)[len(names):]:
        axes.set_visible(False)
    return figure


def _square_root_axis(axes: Axes) -> None:
    axes.set_xscale("function", functions=(lambda x: np.sign(x) * np.sqrt(np.abs(x)),
                                           lambda x: np.sign(x) * np.square(x)))
    axes.set_xticks([0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0])
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(FuncFormatter(percent))
    axes.set_xlim(-0.0001, 1.3)
    axes.margins(y=0.12)


def _random_line(axes: Axes, student: float, teacher: float, start: float = 0.0) -> None:
    """From the student at `start` to the teacher at 1."""
    shares = np.linspace(0, 1, 200) ** 2
    axes.plot(start + shares * (1 - start), student + shares * (teacher - student), color=MUTED, linewidth=1.2,
              linestyle=(0, (4, 3)), zorder=1)
    axes.annotate("random-query router", (start + 0.42 * (1 - start), student + 0.42 * (teacher - student)),
                  xytext=(6, -12), textcoords="offset points", color=MUTED, fontsize=8)


def _curve(axes: Axes, points: Sequence[Cells]) -> None:
    """One model with its call token made more or less likely."""
    axes.plot([point["call_ratio"] for point in points], [point["accuracy"] for point in points], color=RELAY,
              linewidth=1, alpha=0.6, zorder=2)


def _point(axes: Axes, name: str, cell: Cells) -> None:
    x, y = cell["call_ratio"], cell["accuracy"]
    low, high = cell["accuracy_ci"] or (y, y)
    hero = name == "relay-difficulty"
    axes.errorbar(x, y, yerr=[[max(0.0, y - low)], [max(0.0, high - y)]], fmt="o", color=colour_of(name),
                  markersize=9 if hero else 6, markeredgecolor=PAPER, markeredgewidth=1.2, elinewidth=1.4, capsize=0,
                  zorder=5 if hero else 4, clip_on=False)


def _key(axes: Axes, methods: Mapping[str, Cells]) -> None:
    """Beside every point its number, one text for points that touch; at the right what the numbers are, best first."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    ranked = sorted(methods, key=lambda name: (-methods[name]["accuracy"], methods[name]["call_ratio"], name))
    places = [(float(np.sqrt(methods[name]["call_ratio"])), methods[name]["accuracy"]) for name in ranked]
    for group in _touching(places, 0.03, 0.04 * (high - low)):
        across, up = [places[one][0] for one in group], [places[one][1] for one in group]
        beside = len(group) == 1  # of several above them, since a long label would reach the next point
        text = axes.annotate(_ranges([one + 1 for one in group]), ((sum(across) / len(group)) ** 2, max(up)),
                             xytext=(7, 0) if beside else (0, 7), textcoords="offset points", fontsize=8, zorder=6,
                             ha="left" if beside else "center", va="center" if beside else "bottom")
        text.set_path_effects([Stroke(linewidth=2.5, foreground=PAPER), Normal()])
    dots = [Line2D([], [], linestyle="", marker="o", markersize=6, color=colour_of(name)) for name in ranked]
    key = axes.legend(dots, [f"{number}  {name}" for number, name in enumerate(ranked, start=1)], fontsize=8,
                      loc="upper left", bbox_to_anchor=(1, 1), handletextpad=0.2, labelspacing=0.3)
    for line, name in zip(key.get_texts(), ranked, strict=True):
        line.set_fontweight("bold" if name == "relay-difficulty" else "normal")


def _touching(places: Sequence[tuple[float, float]], width: float, height: float) -> list[list[int]]:
    """Which of the places lie together, each nearer than `width` and `height` to another of its group."""
    groups: list[list[int]] = []
    for number, (x, y) in enumerate(places):
        near = [group for group in groups
                if any(abs(x - places[one][0]) < width and abs(y - places[one][1]) < height for one in group)]
        groups = [group for group in groups if group not in near] + [sorted(sum(near, [number]))]
    return groups


def _ranges(numbers: Sequence[int]) -> str:
    """`1-3, 7` of 1, 2, 3 and 7."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}\u2013{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _bars(axes: Axes, cells: Mapping[str, Cells | None]) -> None:
    for place, (name, cell) in enumerate(cells.items()):
        if cell is None:
            continue
        value, (low, high) = cell["accuracy"], cell["accuracy_ci"] or (cell["accuracy"],) * 2
        axes.barh(place, value, height=0.68, color=colour_of(name), alpha=0.9)
        axes.plot([low, high], [place, place], color=INK, linewidth=1.1, solid_capstyle="butt")
        axes.text(1.03, place, f"{100 * value:.0f}", va="center", ha="left", fontsize=8, color=MUTED)
    axes.set_yticks(range(len(cells)), list(cells))
    axes.set_ylim(len(cells) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
    axes.grid(axis="y", visible=False)


def percent(value: float, _: int | None = None) -> str:
    """A share as an axis shows it, in percent."""
    return f"{100 * value:.3g} %"
