"""The report as Markdown, for Prefect, pull requests and terminals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from relayllm.evaluation.analysis.reproduction import Verdict, claims, sheet
from relayllm.evaluation.analysis.summary import all_alarms
from relayllm.evaluation.report.examples import Example
from relayllm.evaluation.report.money_table import (
    SETTINGS,
    money_head,
    money_rows,
    money_words,
    setting_rows,
    setting_warnings,
)
from relayllm.evaluation.report.render import Material, call_value_row, lines_of_comparison
from relayllm.evaluation.report.step_times import STEP_TIMES, step_time_rows
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
    points,
    reward_hacking_rows,
    thinking,
    tiles,
)
from relayllm.tracking.provenance import short_commit


def markdown(summary: Mapping[str, Any], material: Material) -> str:
    """Render the report; teacher tokens are bold, calls are code."""
    parts = [f"# {headline(summary)}", _origin(summary), _tiles(summary), _alarms(summary),
             "## Methods and benchmarks", _scores(summary), *_money(summary), *_judge(summary), *_bias_curve(summary),
             *_settings(summary),
             *_comparisons(summary),
             *_call_value(material),
             "## Known ways to cheat", table(REWARD_HACKING, reward_hacking_rows(summary)),
             "## The paper's claims, here", _claims(summary), "## The paper's table", _sheet(summary),
             *_steps(material),
             *_examples(material.examples), "## Pictures",
             "\n".join(f"![{name}](plots/{name}.png)" for name in material.svgs), f"---\n{NOTES}"]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    lines = [head, [":--", *["--:"] * (len(head) - 1)], *rows]
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _origin(summary: Mapping[str, Any]) -> str:
    commit = short_commit(summary["git_commit"]) or "none"
    return (f"Profile `{summary['profile']}`, seed {summary['seed']}, commit `{commit}`, "
            f"data `{summary['data_md5'][:12] or 'not pinned'}`{thinking(summary)}. 95 % intervals in brackets.")


def _tiles(summary: Mapping[str, Any]) -> str:
    return "\n".join(f"- **{tile['value']}** {tile['name']}: {tile['more']}" for tile in tiles(summary))


def _alarms(summary: Mapping[str, Any]) -> str:
    return "\n".join(f"> **Alarm**, {method}: {alarm}" for method, alarm in all_alarms(summary))


def _scores(summary: Mapping[str, Any]) -> str:
    names = list(next(iter(summary["methods"].values()))["benchmarks"])
    rows = [[name, *[_score(cells["benchmarks"].get(one)) for one in names], f"**{_score(cells['average'])}**",
             percent(cells["average"]["call_ratio"], 2), percent(summary["reward_hacking"][name]["truncated"])]
            for name, cells in summary["methods"].items()]
    return table(["method", *names, "average", "call %", "cut off %"], rows)


def _score(cell: Mapping[str, Any] | None) -> str:
    return f"{percent(cell['accuracy'])} {between(cell['accuracy_ci'])}" if cell else NONE


def _judge(summary: Mapping[str, Any]) -> list[str]:
    rows = judge_rows(summary)
    return [f"## Rule and judge{judge_name(summary)}", table(JUDGE, rows)] if rows else []


def _money(summary: Mapping[str, Any]) -> list[str]:
    rows = money_rows(summary)
    return ["## In money", table(money_head(summary), rows), money_words(summary)] if rows else []


def _settings(summary: Mapping[str, Any]) -> list[str]:
    rows, warnings = setting_rows(summary), setting_warnings(summary)
    said = "\n".join(f"> {line}" for line in warnings)
    return ["## Settings, found on training problems", table(SETTINGS, rows), said] if rows else []


def _bias_curve(summary: Mapping[str, Any]) -> list[str]:
    rows = bias_rows(summary)
    head = "## The bias curve: one model that calls less often, or for longer"
    return [head, table(BIAS, rows)] if rows else []


def _comparisons(summary: Mapping[str, Any]) -> list[str]:
    compared = summary["comparisons"]
    if not compared:
        return []
    rows = [[name, points(found["difference"], found["ci"]), found["verdict"]]
            for name, found in lines_of_comparison(compared)]
    matched = compared.get("random_query", {}).get("performance_matched")
    says = "" if not matched else (
        f"A random-query router needs {percent_with(matched['share'], matched['share_ci'])} of the questions to be as "
        f"good; the relay saves {percent_with(matched['reduction'], matched['reduction_ci'])} of its teacher tokens.")
    return [f"## {compared['method']} against the others, in points", table(["against", "difference", "verdict"], rows),
            says]


def _call_value(material: Material) -> list[str]:
    head = ["method", "calls", "help gain", "needless", "in vain", "tokens spent / needed", "places without a call",
            "missed"]
    rows = [[name, *call_value_row(found)] for name, found in material.call_value.items()]
    return ["## What a call was worth", table(head, rows)] if rows else []


def _steps(material: Material) -> list[str]:
    rows = step_time_rows(material.steps)
    return ["## Where a step's time went", table(STEP_TIMES, rows)] if rows else []


def _claims(summary: Mapping[str, Any]) -> str:
    return table(["claim", "paper", "here", "verdict"], [
        [claim.says, claim.paper, claim.ours,
         claim.verdict.value + (", not certain" if claim.verdict is not Verdict.NOT_RUN and not claim.sure else "")]
        for claim in claims(summary)])


def _sheet(summary: Mapping[str, Any]) -> str:
    rows = [[row.paper.profile, row.paper.label, f"{row.paper.average:.2f}", _score(row.ours),
             NONE if row.paper.call_percent is None else f"{row.paper.call_percent:g}",
             percent(row.ours["call_ratio"], 2) if row.ours else NONE, row.verdict.value] for row in sheet(summary)]
    return table(["profile", "method", "paper", "here", "paper's call %", "call % here", "verdict"], rows)


def _examples(examples: Sequence[Example]) -> list[str]:
    if not examples:
        return []
    return ["## Answers", "**Bold**: written by the teacher. `<call>n</call>`: the student asks for n tokens.",
            *[_example(example) for example in examples]]


def _example(example: Example) -> str:
    verdict = "right" if example.correct else "wrong"
    text = "".join(_segment(author, text) for author, text in example.segments).replace("\n", "\n> ")
    return (f"*{example.kind}* ({example.benchmark}, {percent(example.call_ratio)} % by the teacher, {verdict}; "
            f"expected {_plain(example.gold)})\n\n> {_plain(example.question)}\n>\n> {text}")


def _segment(author: str, text: str) -> str:
    if author == "command":
        return f"`{text}`"
    core = text.strip()
    if author != "teacher" or not core:
        return _plain(text, keep_lines=True)
    before, after = text[:len(text) - len(text.lstrip())], text[len(text.rstrip()):]
    return f"{before}**{_plain(core, keep_lines=True)}**{after}"


def _plain(text: str, keep_lines: bool = False) -> str:
    """Text that means nothing to Markdown or HTML."""
    for letter in "\\`*_[]#|":
        text = text.replace(letter, "\\" + letter)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text if keep_lines else " ".join(text.split())
