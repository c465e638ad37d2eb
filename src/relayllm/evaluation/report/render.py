"""The report as one HTML page that needs nothing beside it: style, pictures and script are inside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from relayllm.evaluation.analysis.reproduction import BENCHMARKS, GENERAL, Claim, SheetRow, Verdict, claims, sheet
from relayllm.evaluation.analysis.summary import all_alarms
from relayllm.evaluation.report import plots
from relayllm.evaluation.report.examples import Example
from relayllm.evaluation.report.money_table import (
    SETTINGS,
    money_head,
    money_rows,
    money_words,
    setting_rows,
    setting_warnings,
)
from relayllm.evaluation.report.step_times import STEP_TIMES, StepSeconds, step_time_rows
from relayllm.evaluation.report.wording import (
    BIAS,
    JUDGE,
    NONE,
    NOTES,
    REWARD_HACKING,
    between,
    bias_rows,
    headline,
    judge_name,
    judge_rows,
    percent,
    percent_with,
    plain,
    points,
    reward_hacking_rows,
    thinking,
    tiles,
)
from relayllm.tracking.provenance import short_commit
from relayllm.tracking.run import flat

HERE = Path(__file__).parent
PLOTS = ("pareto", "money", "benchmarks", "learning", "call_places", "call_lengths")
TONES = {"better": "good", "worse": "bad", Verdict.REPRODUCED: "good", Verdict.NOT_REPRODUCED: "bad"}
VARIABLES = {plots.INK: "--ink", plots.MUTED: "--muted", plots.LINE: "--line", plots.PAPER: "--paper",
             plots.RELAY: "--relay", plots.TEACHER: "--teacher", plots.STUDENT: "--student"}
"""Colours of the pictures that follow the page's light or dark."""


@dataclass(frozen=True, slots=True)
class Material:
    """What the report shows beside the summary: pictures, examples, seconds."""

    svgs: Mapping[str, str]
    """Name of the plot -> its SVG."""
    examples: Sequence[Example] = ()
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What each stage measured."""
    call_value: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Method -> what its calls were worth."""
    steps: Mapping[str, Sequence[StepSeconds]] = field(default_factory=dict)
    """GRPO run -> its steps with their seconds."""


def html(summary: Mapping[str, Any], material: Material) -> str:
    """Render the page. Whatever a model or a data set wrote is escaped."""
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, keep_trailing_newline=True)
    return environment.get_template("report.html").render(_page(summary, material))


def _page(summary: Mapping[str, Any], material: Material) -> dict[str, Any]:
    relay = summary["gap_recovered"]["method"]
    drawn = {name: Markup(inline_svg(name, svg)) for name, svg in material.svgs.items()}
    return {
        "css": Markup((HERE / "report.css").read_text(encoding="utf-8")), "origin": summary, "relay": relay,
        "commit": short_commit(summary["git_commit"]),
        "headline": headline(summary).replace(" %", "\u00a0%"), "tiles": tiles(summary), "alarms": all_alarms(summary),
        "contents": _contents(summary, material),
        "plots": {name: drawn.get(name) for name in PLOTS},
        "benchmarks": list(next(iter(summary["methods"].values()))["benchmarks"]),
        "rows": [_row(name, cells, summary, relay) for name, cells in summary["methods"].items()],
        "judge": {"head": JUDGE, "rows": judge_rows(summary), "name": judge_name(summary)},
        "thinking": thinking(summary),
        "money": {"head": money_head(summary), "rows": money_rows(summary), "say": money_words(summary)},
        "settings": {"head": SETTINGS, "rows": setting_rows(summary), "warnings": setting_warnings(summary)},
        "bias_curve": {"head": BIAS, "rows": bias_rows(summary)},
        "forest": _forest(summary["comparisons"]),
        "examples": [_example(example) for example in material.examples],
        "call_value": [{"name": name, "cells": call_value_row(found)} for name, found in material.call_value.items()],
        "reward_hacking": {"head": REWARD_HACKING, "rows": reward_hacking_rows(summary)},
        "steps": {"head": STEP_TIMES, "rows": step_time_rows(material.steps)},
        "claims": [_claim(claim) for claim in claims(summary)], "sheet": _sheet(sheet(summary), summary["profile"]),
        "seconds": list(summary["seconds"].items()), "notes": NOTES,
        "stages": [(name, [(key, plain(value)) for key, value in flat(numbers, " / ")])
                   for name, numbers in material.stages.items()],
    }


def inline_svg(name: str, svg: str) -> str:
    """A figure of matplotlib as part of a page: its own ids, the page's colours, a name for those who cannot see it."""
    body = svg[svg.index("<svg"):]
    body = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", body)
    for colour, variable in VARIABLES.items():
        body = re.sub(colour, f"var({variable})", body, flags=re.IGNORECASE)
    return body.replace("<svg ", f'<svg role="img" aria-label="{name.replace("_", " ")}" ', 1)


def _contents(summary: Mapping[str, Any], material: Material) -> list[tuple[str, str]]:
    shown = {"cost": ("cost", True), "table": ("table", True), "differences": ("differences", summary["comparisons"]),
             "money": ("money", summary["money"]), "judge": ("judge", summary["judge"]),
             "settings": ("settings", summary["settings"]),
             "benchmarks": ("benchmarks", True), "learning": ("learning", "learning" in material.svgs),
             "calls": ("calls", "call_places" in material.svgs), "examples": ("answers", material.examples),
             "call_value": ("worth of a call", material.call_value), "reward_hacking": ("ways to cheat", True),
             "claims": ("claims", True), "reproduction": ("paper's table", True),
             "steps": ("a step's time", step_time_rows(material.steps)), "stages": ("stages", True)}
    return [(place, name) for place, (name, there) in shown.items() if there]


def _row(name: str, cells: Mapping[str, Any], summary: Mapping[str, Any], relay: str) -> dict[str, Any]:
    average = cells["average"]
    names = next(iter(summary["methods"].values()))["benchmarks"]
    return {"name": name, "focus": name == relay, "cells": [_cell(cells["benchmarks"].get(one)) for one in names],
            "average": _cell(average), "call_percent": percent(average["call_ratio"], 2),
            "truncated": percent(summary["reward_hacking"][name]["truncated"]),
            "tokens": f"{average['completion_tokens']:.0f}", "calls": f"{average['calls_per_answer']:.2f}"}


def _cell(cell: Mapping[str, Any] | None) -> dict[str, str]:
    if cell is None:
        return {"value": NONE, "ci": ""}
    judged = f" judged {percent(cell['accuracy_judged'])}" if "accuracy_judged" in cell else ""
    return {"value": percent(cell["accuracy"]), "ci": between(cell["accuracy_ci"]) + judged}


def lines_of_comparison(compared: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """(name, difference) of every comparison: exact routers first, then the methods as they were run."""
    found = []
    for key, says in (("random_query", "random-query router, exact"),
                      ("random_query_grpo", "random-query router over GRPO, exact"),
                      ("random_position", "random-position router, at equal call ratio")):
        if key in compared:
            found.append((says, compared[key]["at_equal_call_ratio"]))
    if "random_query" in compared:
        found.insert(1, ("random-query router, at equal teacher tokens",
                         compared["random_query"]["at_equal_teacher_tokens"]))
    return [*found, *compared.get("against", {}).items()]


def _forest(compared: Mapping[str, Any]) -> list[dict[str, Any]]:
    lines = [(name, found) for name, found in lines_of_comparison(compared) if found["ci"]]
    bounds = [bound for _, found in lines for bound in found["ci"]]
    low, high = min([0.0, *bounds]) - 0.01, max([0.0, *bounds]) + 0.01

    def place(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    return [{"name": name, "zero": place(0), "left": place(found["ci"][0]),
             "width": round(place(found["ci"][1]) - place(found["ci"][0]), 2), "at": place(found["difference"]),
             "text": points(found["difference"], found["ci"]), "verdict": found["verdict"],
             "tone": TONES.get(found["verdict"], "")} for name, found in lines]


def _example(example: Example) -> dict[str, Any]:
    segments = [(author, _said(author, text)) for author, text in example.segments]
    return {"kind": example.kind, "benchmark": example.benchmark, "question": example.question, "segments": segments,
            "gold": example.gold, "answer": example.answer, "correct": example.correct, "base": example.base_correct,
            "call_percent": f"{percent(example.call_ratio)} %"}


def _said(author: str, text: str) -> str:
    return re.sub(r"</?call>", " ", text).strip().join(("call ", "")) if author == "command" else text


def call_value_row(found: Mapping[str, Any]) -> list[str]:
    """What a method's calls were worth, as cells."""
    shares = {key: percent_with(found[key]["value"], found[key]["ci"], 0) if found[key] else NONE
              for key in ("help_gain", "needless", "in_vain", "missed")}
    longer = found.get("spent_per_needed")
    return [str(found["calls"]), shares["help_gain"], shares["needless"], shares["in_vain"],
            "{:.2f} [{:.2f}, {:.2f}]".format(longer["value"], *longer["ci"]) if longer else NONE,
            str(found["places_without_a_call"]), shares["missed"]]


def _claim(claim: Claim) -> dict[str, str]:
    unsure = claim.verdict is not Verdict.NOT_RUN and not claim.sure
    return {"says": claim.says, "paper": claim.paper, "ours": claim.ours, "tone": TONES.get(claim.verdict, ""),
            "verdict": claim.verdict.value + (", not certain" if unsure else "")}


def _sheet(rows: Sequence[SheetRow], profile: str) -> dict[str, Any]:
    run = [row for row in rows if row.verdict is not Verdict.NOT_RUN]
    says = (f"{len(run)} of {len(rows)} rows were run." if run else
            f"Profile {profile} does not run the paper's models: no row can be judged. Profiles qwen3-0.6b and "
            "qwen3-1.7b do.")
    tables = [{"benchmarks": names, "rows": [_sheet_row(row) for row in rows if row.paper.benchmarks == names]}
              for names in (BENCHMARKS, GENERAL)]
    return {"say": says, "any_run": bool(run), "count": len(rows), "tables": tables}


def _sheet_row(row: SheetRow) -> dict[str, Any]:
    scores = dict(zip(row.paper.benchmarks, row.paper.scores, strict=False))
    cells = [{"paper": f"{scores[name]:.2f}" if name in scores else NONE,
              "ours": percent(row.benchmarks[name]) if name in row.benchmarks else ""}
             for name in row.paper.benchmarks]
    ours = row.ours
    return {"student": row.paper.profile.removeprefix("qwen3-"), "label": row.paper.label, "cells": cells,
            "average": {"paper": f"{row.paper.average:.2f}",
                        "ours": f"{percent(ours['accuracy'])} {between(ours['accuracy_ci'])}" if ours else ""},
            "call": {"paper": NONE if row.paper.call_percent is None else f"{row.paper.call_percent:g}",
                     "ours": percent(ours["call_ratio"], 2) if ours else ""},
            "verdict": row.verdict.value, "tone": TONES.get(row.verdict, "")}
