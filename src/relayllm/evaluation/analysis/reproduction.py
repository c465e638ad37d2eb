"""The paper's tables and claims, beside what was measured here, with a verdict per row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

BENCHMARKS = ("minerva", "math-500", "gsm8k", "olympiadbench", "aime-2025", "aime-2024")
GENERAL = ("bbeh", "mmlu-pro", "supergpqa")
"""What the paper asks beyond mathematics."""
PAPER_ERROR = {BENCHMARKS: 0.013, GENERAL: 0.0023}
"""Standard error of the paper's means: by its problem counts (AIME has 30, SuperGPQA 26,529)."""


class Verdict(StrEnum):
    """Whether a row of the paper holds here."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class PaperRow:
    """A row of Table 1 of arXiv 2601.05167, of its ablations (average only), or of its other benchmarks. In percent."""

    profile: str
    method: str
    label: str
    scores: tuple[float, ...]
    """One per benchmark, or none."""
    average: float
    """Of the benchmarks; the paper prints it for the six."""
    call_percent: float | None
    benchmarks: tuple[str, ...] = BENCHMARKS


SMALL, LARGE = "qwen3-0.6b", "qwen3-1.7b"
PAPER = (
    PaperRow(SMALL, "base", "base", (15.81, 54.00, 64.82, 26.22, 1.04, 1.15), 27.17, None),
    PaperRow(SMALL, "grpo", "GRPO", (17.65, 58.60, 65.50, 29.04, 5.42, 3.23), 29.91, None),
    PaperRow(SMALL, "citer", "CITER (token router)", (19.29, 58.80, 67.78, 29.60, 5.93, 3.24), 30.77, 0.98),
    PaperRow(SMALL, "relay-simple", "relay, simple", (20.96, 60.20, 69.14, 32.15, 7.19, 3.85), 32.25, 0.31),
    PaperRow(SMALL, "relay-difficulty", "relay, difficulty", (23.53, 60.00, 71.95, 32.74, 6.15, 3.85), 33.04, 0.77),
    PaperRow(LARGE, "base", "base", (33.82, 74.60, 82.64, 43.11, 8.75, 12.08), 42.50, None),
    PaperRow(LARGE, "grpo", "GRPO", (35.66, 75.60, 81.73, 45.04, 10.73, 15.62), 44.06, None),
    PaperRow(LARGE, "citer", "CITER (token router)", (38.63, 80.24, 82.26, 51.20, 11.96, 16.58), 46.81, 1.34),
    PaperRow(LARGE, "relay-simple", "relay, simple", (43.01, 83.40, 86.13, 51.56, 13.44, 18.23), 49.30, 0.43),
    PaperRow(LARGE, "relay-difficulty", "relay, difficulty", (43.75, 81.40, 86.28, 55.70, 12.71, 17.29), 49.52, 1.07),
    PaperRow(LARGE, "teacher", "teacher alone (8B)", (48.16, 83.20, 93.63, 56.89, 17.92, 24.90), 54.12, 100.0),
    PaperRow(LARGE, "no-filter", "without data filter", (), 48.76, 3.30),
    PaperRow(LARGE, "no-bonus", "without the 1.5 bonus", (), 49.34, 4.10),
    PaperRow(LARGE, "no-exploration", "without exploration", (), 47.56, 0.65),
    PaperRow(LARGE, "fixed-20", "fixed n = 20", (), 49.41, 1.32),
    PaperRow(LARGE, "fixed-100", "fixed n = 100", (), 49.56, 2.87),
    PaperRow(LARGE, "fixed-500", "fixed n = 500", (), 51.17, 5.37),
    PaperRow(LARGE, "base", "base, general", (9.91, 46.90, 24.46), 27.09, None, GENERAL),
    PaperRow(LARGE, "grpo", "GRPO, general", (10.89, 49.76, 26.01), 28.89, None, GENERAL),
    PaperRow(LARGE, "relay-difficulty", "relay, difficulty, general", (12.46, 59.03, 29.93), 33.81, None, GENERAL),
    PaperRow(LARGE, "teacher", "teacher alone (8B), general", (15.31, 66.46, 36.21), 39.33, 100.0, GENERAL),
)


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A row of the paper's table beside ours."""

    paper: PaperRow
    ours: Mapping[str, Any] | None
    """As a cell of summary.json, averaged over the row's benchmarks; None when they were not all run."""
    benchmarks: Mapping[str, float]
    """Our accuracy, for those that were run."""
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Claim:
    """Something the paper says, and whether it holds here; asked of every profile."""

    says: str
    paper: str
    ours: str
    verdict: Verdict
    sure: bool
    """Whether the interval says so, too."""


def sheet(summary: Mapping[str, Any]) -> list[SheetRow]:
    """The paper's table with a verdict per row.

    A row is reproduced when the two averages differ by no more than their errors together allow at 95 %.
    """
    return [_row(summary, row) for row in PAPER]


def claims(summary: Mapping[str, Any]) -> list[Claim]:
    """The paper's claims, which a small world can be asked, too."""
    compared, relay = summary["comparisons"], summary["gap_recovered"]["method"]
    cell = summary["methods"].get(relay, {}).get("average", {})
    query = compared.get("random_query", {})
    position = compared.get("random_position", {})
    against, checks = compared.get("against", {}), summary["reward_hacking"].get(relay, {})
    return [
        _claim("the relay recovers at least 60 % of the gap", "60 %", summary["gap_recovered"]["value"],
               summary["gap_recovered"]["ci"], 0.60),
        _claim("with at most 5 % teacher tokens", "1.07 %", cell.get("call_ratio"), cell.get("call_ratio_ci"), 0.05,
               most=True),
        _lead("it beats the random-query router at an equal call ratio by 6.9 points", "+6.9",
              query.get("at_equal_call_ratio"), 0.069),
        _lead("and the random-position router by as much", "–", position.get("at_equal_call_ratio"), 0.069),
        _claim("it needs 98 % fewer teacher tokens than the router that is as good", "98.2 %",
               query.get("performance_matched", {}).get("reduction"),
               query.get("performance_matched", {}).get("reduction_ci"), 0.98),
        _lead("it beats GRPO without calls", "+5.5", against.get("grpo"), 0.0),
        _claim("what the base student solves is solved without a call, four times in five", "–",
               checks.get("solved_alone"), None, 0.80),
        _claim("and so is what the trained student solves when calls are banned", "–",
               checks.get("solved_alone_of_teacher_free"), None, 0.80),
    ]


def _row(summary: Mapping[str, Any], paper: PaperRow) -> SheetRow:
    teacher_of_both = paper.method == "teacher" and summary["profile"] in (SMALL, LARGE)
    method = summary["methods"].get(paper.method)
    if method is None or not (paper.profile == summary["profile"] or teacher_of_both):
        return SheetRow(paper, None, {}, Verdict.NOT_RUN)
    found = {name: method["benchmarks"][name]["accuracy"] for name in paper.benchmarks if name in method["benchmarks"]}
    if len(found) < len(paper.benchmarks):
        return SheetRow(paper, None, found, Verdict.NOT_RUN)
    ours = method["average"] if len(method["benchmarks"]) == len(found) else _over(found, method["benchmarks"])
    return SheetRow(paper, ours, found, _verdict(ours, paper))


def _over(names: Iterable[str], cells: Mapping[str, Any]) -> dict[str, Any]:
    """The average over these, where others were run beside them: benchmarks err independently."""
    chosen = [cells[name] for name in names]
    accuracy = sum(cell["accuracy"] for cell in chosen) / len(chosen)
    half = math.hypot(*((cell["accuracy_ci"][1] - cell["accuracy_ci"][0]) / 2 for cell in chosen)) / len(chosen)
    return {"accuracy": accuracy, "accuracy_ci": [max(0.0, accuracy - half), min(1.0, accuracy + half)],
            "call_ratio": sum(cell["call_ratio"] for cell in chosen) / len(chosen)}


def _verdict(ours: Mapping[str, Any], paper: PaperRow) -> Verdict:
    low, high = ours["accuracy_ci"]
    allowed = 1.96 * math.hypot((high - low) / (2 * 1.96), PAPER_ERROR[paper.benchmarks])
    near = abs(ours["accuracy"] - paper.average / 100) <= allowed
    return Verdict.REPRODUCED if near else Verdict.NOT_REPRODUCED


def _claim(says: str, paper: str, value: float | None, ci: list[float] | None, limit: float, *,
           most: bool = False) -> Claim:
    if value is None:
        return Claim(says, paper, "–", Verdict.NOT_RUN, False)
    holds = value <= limit if most else value >= limit
    low, high = ci or (value, value)
    sure = (high <= limit if most else low >= limit) if holds else (low > limit if most else high < limit)
    shown = f"{100 * value:.1f} %" + (f" [{100 * low:.1f}, {100 * high:.1f}]" if ci else "")
    return Claim(says, paper, shown, Verdict.REPRODUCED if holds else Verdict.NOT_REPRODUCED, sure)


def _lead(says: str, paper: str, found: Mapping[str, Any] | None, limit: float) -> Claim:
    if not found or found["difference"] is None:
        return Claim(says, paper, "–", Verdict.NOT_RUN, False)
    low, high = found["ci"] or (found["difference"],) * 2
    holds = found["difference"] > 0 and found["difference"] >= limit
    shown = f"{100 * found['difference']:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    return Claim(says, paper, shown, Verdict.REPRODUCED if holds else Verdict.NOT_REPRODUCED,
                 low >= limit if holds else high < limit)
