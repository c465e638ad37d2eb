"""Money and settings as tables: cells of text, in the order of their heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relayllm.evaluation.report.wording import NONE, percent, percent_with, points

SETTINGS = ("method", "setting", "asked for, call %", "spent in training", "seen in training", "reached")


def money_head(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """The heads of `money_rows`."""
    paid = summary["money"]
    price = f"{paid['prices']['currency']} per {paid['answers']:,} answers" if paid else ""
    return ("method", "accuracy", price, "% of the teacher alone", "reading, % of the calls' price")


def money_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """A row per method, the cheapest first; none without prices."""
    if not summary["money"]:
        return []
    ordered = sorted(summary["money"]["methods"].items(), key=lambda item: item[1]["cost"])
    return [[name, percent(summary["methods"][name]["average"]["accuracy"]), _amount(paid["cost"], paid["cost_ci"]),
             percent(paid["of_teacher"]), percent(paid["read_share"], 0)] for name, paid in ordered]


def money_words(summary: Mapping[str, Any]) -> str:
    """The relay beside the random router, in a sentence or two; empty without prices."""
    router = (summary["money"] or {}).get("random_router")
    if not router:
        return ""
    same, needed = router["at_equal_cost"], router["at_equal_accuracy"]
    says = f"At the relay's price, {points(same['difference'], same['ci'])} points over the random router"
    if needed["reduction"] is None:
        return f"{says}."
    return (f"{says}; a random router that is as good costs {needed['cost']:.4g} for as many answers, the relay "
            f"{percent_with(needed['reduction'], needed['reduction_ci'])} less.")


def setting_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """What calibration found for each method, under the heads of SETTINGS."""
    curve = summary["bias_curve"] or {"points": []}
    longer = {point["method"]: f"n >= {point['min_call_tokens']}" for point in curve["points"]
              if point["min_call_tokens"] > 1}
    return [[name, longer.get(name, f"{one['setting']:.4g}"), percent(one["train_target"], 2),
             percent(one["train_call_ratio"], 2), f"{percent(one['seen'][0], 2)} to {percent(one['seen'][1], 2)}",
             "yes" if one["reached"] else "no"] for name, one in summary["settings"].items()]


def setting_warnings(summary: Mapping[str, Any]) -> list[str]:
    """A sentence per method that was asked for a call ratio which its calibration never saw."""
    return [f"{name} was asked for a call ratio of {percent(one['train_target'], 2)} %; on the training problems its "
            f"settings spent {percent(one['seen'][0], 2)} to {percent(one['seen'][1], 2)} %, and the nearest below it "
            f"{percent(one['train_call_ratio'], 2)} %: it is not at equal cost"
            for name, one in summary.get("settings", {}).items() if not one["reached"]]


def _amount(value: float | None, ci: list[float] | None) -> str:
    if value is None:
        return NONE
    return f"{value:.4g}" + (f" [{ci[0]:.3g}, {ci[1]:.3g}]" if ci else "")
