"""Stage report: what came out, for machines and for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relayllm.config import Params
from relayllm.errors import DataError
from relayllm.files import atomic_write, write_json
from relayllm.progress import print_line
from relayllm.settings import current_settings
from relayllm.stages.evaluate import ANSWER_SECONDS
from relayllm.tracking.provenance import data_digest, file_hash, git_commit
from relayllm.tracking.run import current

if TYPE_CHECKING:
    import pandas as pd

    from relayllm.evaluation.analysis.money import Paid


def run(params: Params, *, records: Path, metrics_folder: Path, report: Path) -> None:
    """Say what came out, in JSON, Markdown and HTML.

    Reads the histories of GRPO runs (`grpo/*/history.json` beside the records) and what calls were worth
    (`call_value/` and `needed_tokens/` in the records) where they are, and what stages, answers and steps took.

    Raises:
        DataError: records are missing or not what they must be.
        ConfigError: RELAY_TEACHERS names no pool.
    """
    from relayllm.evaluation.analysis.bias_curve import read_bias_curve
    from relayllm.evaluation.analysis.settings_found import read_settings
    from relayllm.evaluation.analysis.summary import Found, Limits, Provenance, build_summary, write_summary
    from relayllm.evaluation.records import read_records

    settings = current_settings()
    frame = read_records(records, settings.runs / ANSWER_SECONDS)
    spent = params.evaluate.decoding
    origin = Provenance(params.profile, params.seed, git_commit(settings.root), data_digest(settings.root),
                        _seconds(settings.runs / "seconds"), file_hash(settings.params),
                        spent.enable_thinking)
    found = Found(read_bias_curve(records), read_settings(records), _judge(params))
    summary = build_summary(frame, origin, Limits(spent.max_calls, spent.max_call_tokens),
                            bootstrap=params.evaluate.bootstrap, relay=params.evaluate.relay, found=found,
                            paid=_paid(params))
    histories = {path.parent.name: _json(path) for path in sorted((records.parent / "grpo").glob("*/history.json"))}
    with atomic_write(report) as part:
        write_summary(part / "summary.json", summary)
        _pages(part, params.report.examples, summary, frame, histories, records, metrics_folder,
               _steps(settings.runs / "steps", params.grpo.runs))
    priced = (summary["money"] or {"methods": {}})["methods"]
    current().metrics({"gap_recovered": summary["gap_recovered"]["value"],
                       **{name: {**method["average"], "money": priced.get(name, {})}
                          for name, method in summary["methods"].items()}})
    current().artifact(report)
    print_line(f"{report}: summary.json, report.md, report.html and plots/ of {len(summary['methods'])} methods")


def _pages(folder: Path, examples: int, summary: Mapping[str, Any], frame: pd.DataFrame,
           histories: Mapping[str, Any], records: Path, metrics_folder: Path, steps: Mapping[str, Any]) -> None:
    """Draw the pictures and write both pages."""
    from relayllm.evaluation.report.examples import choose
    from relayllm.evaluation.report.figures import draw
    from relayllm.evaluation.report.markdown import markdown
    from relayllm.evaluation.report.render import Material, html

    relay = summary["gap_recovered"]["method"]
    svgs = draw(folder / "plots", summary, frame, histories, relay)
    material = Material(svgs, choose(frame, relay, examples),
                        {path.stem: _json(path) for path in sorted(metrics_folder.glob("*.json"))},
                        _call_value(records, summary, folder), steps)
    (folder / "report.md").write_text(markdown(summary, material), encoding="utf-8")
    (folder / "report.html").write_text(html(summary, material), encoding="utf-8")


def _call_value(records: Path, summary: Mapping[str, Any], report: Path) -> dict[str, Any]:
    """What calls were worth and whether they were longer than needed, for the methods whose calls were tried so."""
    import pandas as pd

    from relayllm.evaluation.analysis.call_value import call_value, spent_per_needed

    drawn = {"draws": summary["bootstrap"], "seed": summary["seed"]}
    found = {path.stem: call_value(pd.read_parquet(path), **drawn)
             for path in sorted((records / "call_value").glob("*.parquet"))}
    for name in found:
        path = records / "needed_tokens" / f"{name}.parquet"
        found[name]["spent_per_needed"] = spent_per_needed(pd.read_parquet(path), **drawn) if path.is_file() else None
    if found:
        write_json(report / "call_value.json", found)
    return found


def _paid(params: Params) -> Paid:
    """The report's prices, and those of a pool's teachers; nothing costs anything where there are none."""
    from relayllm.engines.openai.pool_config import read_pool
    from relayllm.evaluation.analysis.money import Paid
    from relayllm.relay.prices import Prices

    if params.report.prices is None:
        return Paid()
    prices, settings = Prices.of(params.report.prices.model_dump(), "report.prices"), current_settings()
    if settings.teachers is None:
        return Paid(prices)
    pool = read_pool(settings.teachers)
    return Paid(replace(prices, teachers=pool.prices), pool.alone(settings.teacher_url))


def _judge(params: Params) -> str | None:
    return params.evaluate.judge.model if params.evaluate.judge else None


def _seconds(folder: Path) -> dict[str, float]:
    """Wall clock of each stage's last run; the report's own would be that of the time before."""
    return {path.stem: float(_json(path)["seconds"]) for path in sorted(folder.glob("*.json")) if path.stem != "report"}


def _steps(folder: Path, runs: Iterable[str]) -> dict[str, Any]:
    """The steps of the runs in params.yaml, with their seconds, where this machine made them."""
    paths = {run: folder / f"{run}.json" for run in runs}
    return {run: _json(path) for run, path in paths.items() if path.is_file()}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is not JSON ({error}): remove it, or run the stage that writes it again") from error
