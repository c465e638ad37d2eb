"""The pictures of a study: learning curves of every seed, and accuracy against cost with seeds as thin lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from relayllm.evaluation.report import plots
from relayllm.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES = (("held_out_accuracy", "accuracy, held out, greedy"), ("held_out_call_ratio", "call ratio, held out"),
          ("callers", "share of roll-outs that call"), ("student_solvable", "roll-outs of student-solvable problems"),
          ("teacher_dependent", "of teacher-dependent ones"), ("teacher_unsolvable", "of teacher-unsolvable ones"))
Summaries = Sequence[Mapping[str, Any]]


def draw_curves(histories: Mapping[str, Sequence[Sequence[Mapping[str, float]]]], picture: Path) -> None:
    """Learning curves: a colour per run, the first seed darker."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6.5), layout="constrained")
    axes = figure.subplots(2, 3, sharex=True)
    for (key, title), axis in zip(CURVES, axes.flat, strict=True):
        for index, (name, runs) in enumerate(histories.items()):
            for number, run in enumerate(runs):
                points = [(row["step"], row[key]) for row in run if key in row]
                axis.plot([x for x, _ in points], [y for _, y in points], color=f"C{index}",
                          alpha=0.9 if number == 0 else 0.5, label=name if number == 0 else None)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_ylim(bottom=0)
    for axis in axes[1]:
        axis.set_xlabel("batch of roll-outs")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(histories),
                  frameon=False)
    _save(figure, picture)


def draw_pareto(summaries: Summaries, picture: Path) -> None:
    """Means over seeds as points; each seed a thin line: from the mean to its value, and along its bias curve."""
    with plots.style():
        figure = plots.pareto(_mean_of(summaries))
        axes = figure.axes[0]
        for name, cells in _cells(summaries).items():
            x, y = _means(cells)
            for cell in cells:
                axes.plot([x, cell["call_ratio"]], [y, cell["accuracy"]], color=plots.colour_of(name), linewidth=0.6,
                          alpha=0.6, zorder=2)
        for one in summaries:
            points = (one.get("bias_curve") or {"points": []})["points"]
            axes.plot([point["call_ratio"] for point in points], [point["accuracy"] for point in points],
                      color=plots.RELAY, linewidth=0.6, alpha=0.5, zorder=2)
        axes.set_title(f"Accuracy against cost: means over {len(summaries)} seeds, each seed a thin line")
        _save(figure, picture)


def _cells(summaries: Summaries) -> dict[str, list[Mapping[str, Any]]]:
    names = dict.fromkeys(name for one in summaries for name in one["methods"])
    return {name: [one["methods"][name]["average"] for one in summaries if name in one["methods"]] for name in names}


def _means(cells: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    return mean(cell["call_ratio"] for cell in cells), mean(cell["accuracy"] for cell in cells)


def _mean_of(summaries: Summaries) -> dict[str, Any]:
    """What `plots.pareto` reads of a summary, as means over seeds."""
    means = {name: _means(cells) for name, cells in _cells(summaries).items()}
    return {"bias_curve": None, "methods": {
        name: {"average": {"call_ratio": x, "accuracy": y, "accuracy_ci": None}} for name, (x, y) in means.items()}}


def _save(figure: Figure, picture: Path) -> None:
    picture.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(picture) as part:
        figure.savefig(part, format="png", dpi=110, metadata={"Software": None})
