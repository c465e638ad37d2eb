"""The results of a study: a table over seeds, the spread, and the learning curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from relayllm.evaluation.analysis.over_seeds import gap, leads, means
from relayllm.evaluation.analysis.scores import score
from relayllm.evaluation.analysis.statistics import Estimate
from relayllm.evaluation.analysis.summary import all_alarms
from relayllm.evaluation.records import read_records
from relayllm.evaluation.report.money_table import setting_warnings
from relayllm.evaluation.report.study_plots import draw_curves, draw_pareto
from relayllm.files import atomic_write

DRAWS = 2000
MARK = "<!-- below: written by `relay study`; above: written by people -->"


def write_results(folder: Path, results: Path, expected: Sequence[int] = ()) -> None:
    """Write the part below the mark of the results file, and the pictures beside it; what people wrote above stays.

    `expected` are the seeds that the study was asked for: those without a report are named.
    """
    above = results.read_text(encoding="utf-8").split(MARK)[0] if results.is_file() else "# Results\n\n"
    images = results.parent / "images"
    text = [above.rstrip(), "", MARK, ""]
    summaries = {path.name.replace("-", " "): _summary(path / "report") for path in _seeds(folder)}
    if summaries:
        text += [*_aims(summaries), "", *_table(list(summaries.values())), "", *_leads(summaries), "",
                 *_over_seeds(folder), "", *_unreached(summaries), *_alarms(summaries)]
        draw_pareto(list(summaries.values()), images / "study-pareto.png")
        text += ["", "![accuracy against cost](images/study-pareto.png)"]
    if missing := missing_seeds(folder, expected):
        text += ["", f"Without a report, and so in no figure: seeds {', '.join(map(str, missing))}."]
    if histories := _histories(folder):
        draw_curves(histories, images / "study-curves.png")
        text += ["", "![learning curves](images/study-curves.png)", ""]
    with atomic_write(results) as part:
        part.write_text("\n".join(text).rstrip() + "\n", encoding="utf-8")


def missing_seeds(folder: Path, expected: Sequence[int]) -> list[int]:
    """The seeds of a study that have no report."""
    return [seed for seed in expected if not (folder / f"seed-{seed}" / "report/summary.json").is_file()]


def _seeds(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("seed-*") if (path / "report/summary.json").is_file()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("seed-")))


def _summary(report: Path) -> dict[str, Any]:
    """A seed's summary, and what its calls were worth."""
    worth = report / "call_value.json"
    return {**json.loads((report / "summary.json").read_text(encoding="utf-8")),
            "call_value": json.loads(worth.read_text(encoding="utf-8")) if worth.is_file() else {}}


def _over_seeds(folder: Path) -> list[str]:
    """The relay beside each method over all seeds, where the records are there."""
    seeds = [path for path in _seeds(folder) if (path / "evaluate").is_dir()]
    if not seeds:
        return []
    relay = json.loads((seeds[0] / "report/summary.json").read_text(encoding="utf-8"))["gap_recovered"]["method"]
    scores = [score(read_records(path / "evaluate"), draws=DRAWS, seed=0) for path in seeds]
    spent, ahead, whole = means(scores), leads(scores, relay), gap(scores, relay)
    lines = [f"Over {len(seeds)} seeds, with 95 % intervals of a hierarchical bootstrap over seeds and problems: "
             "accuracy and call ratio in percent, and the points by which the relay is ahead.", "",
             "| method | accuracy | call ratio | relay ahead by |", "|---" * 4 + "|"]
    lines += [f"| {name} | {_share(accuracy)} | {_share(ratio, 2)} | {_share(ahead.get(name), sign='+')} |"
              for name, (accuracy, ratio) in spent.items()]
    return [*lines, "", f"Gap recovered over seeds: {_share(whole)} %."] if whole else lines


def _unreached(summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Methods that are not at the cost that they were asked for, seed by seed."""
    said = [f"- {seed}: {line}" for seed, one in summaries.items() for line in setting_warnings(one)]
    return ["Not at equal cost:", "", *said, ""] if said else []


def _aims(summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What every seed is meant for: to learn, to ask for no more than is needed, to leave alone what it can."""
    lines = [f"## {len(summaries)} seed{'s' if len(summaries) > 1 else ''}", "",
             "The relay, in percent; the last column is a ratio: what calls of right answers brought, over what was "
             "needed there.", "",
             "| seed | student | teacher | relay | gap recovered | teacher tokens | solved alone without a call | "
             "spent / needed |", "|---" * 8 + "|"]
    columns: list[list[float | None]] = []
    for name, one in summaries.items():
        relay = one["gap_recovered"]["method"]
        averages = {method: one["methods"].get(method, {}).get("average", {}) for method in ("base", "teacher", relay)}
        spent = one["call_value"].get(relay, {}).get("spent_per_needed") or {}
        columns.append([*(_percent(average.get("accuracy")) for average in averages.values()),
                        _percent(one["gap_recovered"]["value"]), _percent(averages[relay].get("call_ratio")),
                        _percent(one["reward_hacking"].get(relay, {}).get("solved_alone")), spent.get("value")])
        lines.append(f"| {name.removeprefix('seed ')} | {_cells(columns[-1])} |")
    rows = [[value for value in column if value is not None] for column in zip(*columns, strict=True)]
    for label, take in (("mean", mean), ("lowest", min), ("highest", max)):
        lines.append(f"| {label} | {_cells([take(row) if row else None for row in rows])} |")
    return lines


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _cells(values: Sequence[float | None]) -> str:
    digits = (1, 1, 1, 1, 2, 1, 2)
    return " | ".join("" if value is None else f"{value:.{places}f}"
                      for value, places in zip(values, digits, strict=True))


def _table(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = ["Averages over the six families in percent; ± is the standard deviation over seeds.", "",
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


def _share(estimate: Estimate | None, digits: int = 1, sign: str = "") -> str:
    if estimate is None:
        return ""
    low, high = estimate.ci or (estimate.value, estimate.value)
    return f"{100 * estimate.value:{sign}.{digits}f} [{100 * low:.{digits}f}, {100 * high:.{digits}f}]"


def _spread(values: Sequence[float], digits: int = 1) -> str:
    text = f"{mean(values):.{digits}f}"
    return f"{text} ± {stdev(values):.{digits}f}" if len(values) > 1 else text


def _histories(folder: Path) -> dict[str, list[list[dict[str, float]]]]:
    found: dict[str, list[list[dict[str, float]]]] = {}
    for path in sorted(folder.glob("seed-*/grpo/*/history.json")):
        found.setdefault(path.parent.name, []).append(json.loads(path.read_text(encoding="utf-8")))
    return found
