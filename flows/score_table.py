"""What came out, method by method: the table that `make pipeline` ends with, and its rows for Prefect's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text_table(summary: Mapping[str, Any]) -> str:
    """Methods x benchmarks: accuracy with its interval, call ratio in percent, and what answers cost, if prices say."""
    methods, (price, costs) = summary["methods"], _money(summary)
    names = list(dict.fromkeys(name for method in methods.values() for name in method["benchmarks"]))
    rows = [["method", *names, "average", "call %", *price]]
    rows += [[name, *[_cell(method["benchmarks"].get(bench)) for bench in names], _cell(method["average"]),
              f"{100 * method['average']['call_ratio']:.2f}", *[f"{costs[name]:.4g}" if name in costs else "-"
                                                                for _ in price]] for name, method in methods.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *lines = ["  ".join(cell.rjust(width) if column else cell.ljust(width)
                              for column, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in rows]
    return "\n".join(["", head, "-" * len(head), *lines, *_gap(summary.get("gap_recovered") or {})])


def table_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same as a row of numbers per method."""
    price, costs = _money(summary)
    return [{"method": name, **{bench: round(100 * score["accuracy"], 1)
                                for bench, score in {**method["benchmarks"], "average": method["average"]}.items()},
             "call ratio": round(100 * method["average"]["call_ratio"], 2), **{head: costs.get(name) for head in price}}
            for name, method in summary["methods"].items()]


def _money(summary: Mapping[str, Any]) -> tuple[list[str], dict[str, float]]:
    """The head of the column of money, and what answers cost by method; neither without prices."""
    found = summary.get("money")
    if not found:
        return [], {}
    return ([f"{found['prices']['currency']} per {found['answers']:,}"],
            {name: paid["cost"] for name, paid in found["methods"].items() if paid["cost"] is not None})


def _gap(gap: Mapping[str, Any]) -> list[str]:
    if gap.get("value") is None:
        return []
    low, high = gap["ci"]
    return ["", f"Gap between student and teacher recovered: {100 * gap['value']:.0f} % "
                f"[{100 * low:.0f}, {100 * high:.0f}]"]


def _cell(score: Mapping[str, Any] | None) -> str:
    if not score:
        return "-"
    text = f"{100 * score['accuracy']:.1f}"
    if score.get("accuracy_ci"):
        low, high = score["accuracy_ci"]
        text += f" [{100 * low:.0f}, {100 * high:.0f}]"
    return text
