"""The results of a study: a table over seeds, the spread, and the learning curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from relayllm.evaluation.analysis.summary import all_alarms
from relayllm.files import atomic_write

CURVES = (("held_out_accuracy", "accuracy, held out, greedy"), ("held_out_call_ratio", "call ratio, held out"),
          ("callers", "share of roll-outs that call"), ("student_solvable", "roll-outs of student-solvable problems"),
          ("teacher_dependent", "of teacher-dependent ones"), ("teacher_unsolvable", "of teacher-unsolvable ones"))
MARK = "<!-- below: written by `relay study`; above: written by people -->"


def write_results(folder: Path, results: Path) -> None:
    """Write the part below the mark of the results file, and the picture beside it; what people wrote above stays."""
    seeds = [path for path in sorted(folder.glob("seed-*")) if (path / "report/summary.json").is_file()]
    above = results.read_text(encoding="utf-8").split(MARK)[0] if results.is_file() else "# Results\n\n"
    picture = results.parent / "images" / "study-curves.png"
    text = [above.rstrip(), "", MARK, ""]
    if seeds:
        summaries = {path.name.replace("-", " "): json.loads((path / "report/summary.json").read_text(encoding="utf-8"))
                     for path in seeds}
        text += [*_table(list(summaries.values())), "", *_leads(summaries), *_alarms(summaries)]
    histories = _histories(folder)
    if histories:
        _draw(histories, picture)
        text += ["", f"![learning curves](images/{picture.name})", ""]
    with atomic_write(results) as part:
        part.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")


def _table(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [f"## {len(summaries)} seed{'s' if len(summaries) > 1 else ''}", "",
             "Averages over the six families in percent; ± is the standard deviation over seeds.", "",
             "| method | seeds | accuracy | call ratio | calls per answer | mean n | tokens per answer |",
             "|---" * 7 + "|"]
    for name in dict.fromkeys(name for one in summaries for name in one["methods"]):
        ran = [one for one in summaries if name in one["methods"]]
        scores = [one["methods"][name]["average"] for one in ran]
        lengths = [one["reward_hacking"][name]["mean_n"] for one in ran]
        asked = [length for length in lengths if length is not None]
        cells = [str(len(scores)),
                 _spread([100 * score["accuracy"] for score in scores]),
                 _spread([100 * score["call_ratio"] for score in scores], 2),
                 _spread([score["calls_per_answer"] for score in scores], 2),
                 _spread(asked) if asked else "",
                 _spread([score["completion_tokens"] for score in scores])]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _leads(summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The relay beside each other method, seed by seed: what a mean over seeds would hide."""
    lines = ["Points of accuracy by which the relay is ahead, paired over problems, with 95 % intervals; and the share "
             "of the gap between student and teacher that it recovers, in percent.", "",
             f"| against | {' | '.join(summaries)} |", "|---" * (1 + len(summaries)) + "|"]
    against = [one["comparisons"]["against"] for one in summaries.values()]
    for name in dict.fromkeys(name for one in against for name in one):
        cells = [_points(one[name]["difference"], one[name]["ci"]) if name in one else "" for one in against]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    gaps = [one["gap_recovered"] for one in summaries.values()]
    if any(gap["value"] is not None for gap in gaps):
        cells = ["" if gap["value"] is None else _points(gap["value"], gap["ci"], "") for gap in gaps]
        lines.append(f"| gap recovered | {' | '.join(cells)} |")
    return lines


def _alarms(summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    said = [f"- {seed}, {method}: {alarm}" for seed, one in summaries.items() for method, alarm in all_alarms(one)]
    return ["", "Alarms:", "", *said] if said else ["", "No alarm was raised."]


def _points(value: float, ci: Sequence[float], sign: str = "+") -> str:
    return f"{100 * value:{sign}.1f} [{100 * ci[0]:.0f}, {100 * ci[1]:.0f}]"


def _spread(values: Sequence[float], digits: int = 1) -> str:
    text = f"{mean(values):.{digits}f}"
    return f"{text} ± {stdev(values):.{digits}f}" if len(values) > 1 else text


def _histories(folder: Path) -> dict[str, list[list[dict[str, float]]]]:
    found: dict[str, list[list[dict[str, float]]]] = {}
    for path in sorted(folder.glob("seed-*/grpo/*/history.json")):
        found.setdefault(path.parent.name, []).append(json.loads(path.read_text(encoding="utf-8")))
    return found


def _draw(histories: Mapping[str, Sequence[Sequence[Mapping[str, float]]]], picture: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(13, 6.5), sharex=True, layout="constrained")
    for (key, title), axis in zip(CURVES, axes.flat, strict=True):
        for index, (name, runs) in enumerate(histories.items()):
            for number, run in enumerate(runs):
                points = [(row["step"], row[key]) for row in run if key in row]
                axis.plot(*zip(*points, strict=True), color=f"C{index}", alpha=0.9 if number == 0 else 0.5,
                          label=name if number == 0 else None)
        axis.set_title(title, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_ylim(bottom=0)
    for axis in axes[1]:
        axis.set_xlabel("batch of roll-outs")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=len(histories),
                  frameon=False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(picture) as part:
        figure.savefig(part, format="png", dpi=110)
    pyplot.close(figure)
