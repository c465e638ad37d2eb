"""How numbers are written for people, in Markdown and HTML alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NONE = "–"
NOTES = ("Greedy benchmarks are answered once (pass@1); avg@k benchmarks k times, and their samples are resampled. "
         "Intervals resample problems, the same ones for all methods; the average resamples within each benchmark. An "
         "interval without width means that every problem came out alike: with m such problems the true share may "
         "still be 3/m away. The call ratio counts tokens the teacher wrote, not those it read.")


def percent(value: float | None, digits: int = 1) -> str:
    """A share in percent, without the sign of percent."""
    return NONE if value is None else f"{100 * value:.{digits}f}"


def percent_with(value: float | None, ci: Sequence[float] | None, digits: int = 1) -> str:
    """A share with its interval."""
    return f"{percent(value, digits)} %" + (f" {between(ci)}" if ci else "") if value is not None else NONE


def points(value: float | None, ci: Sequence[float] | None) -> str:
    """A difference in points with its interval."""
    if value is None:
        return NONE
    return f"{100 * value:+.1f}" + (f" [{100 * ci[0]:+.1f}, {100 * ci[1]:+.1f}]" if ci else "")


def between(ci: Sequence[float] | None) -> str:
    """An interval in percent, as `[low, high]`."""
    return f"[{100 * ci[0]:.0f}, {100 * ci[1]:.0f}]" if ci else ""


def plain(value: object) -> str:
    """Any number of a stage, short."""
    if value is None:
        return NONE
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def headline(summary: Mapping[str, Any]) -> str:
    """The report in one sentence."""
    gap, methods = summary["gap_recovered"], summary["methods"]
    relay = methods.get(gap["method"])
    if relay is None:
        return f"{len(methods)} methods, no relay among them"
    ratio = percent(relay["average"]["call_ratio"])
    if gap["value"] is None:
        return f"The relay is right in {percent(relay['average']['accuracy'])} % with {ratio} % teacher tokens"
    return (f"The relay recovers {percent(gap['value'], 0)} % of the gap between student and teacher "
            f"with {ratio} % of the tokens written by the teacher")


def tiles(summary: Mapping[str, Any]) -> list[dict[str, str]]:
    """The headline numbers, shown as tiles at the top of the report."""
    gap, methods = summary["gap_recovered"], summary["methods"]
    relay = methods.get(gap["method"], {}).get("average")
    if relay is None:
        return []
    found = [{"name": "gap recovered", "value": percent(gap["value"], 0) + (" %" if gap["value"] is not None else ""),
              "more": f"{between(gap['ci'])} of the way from base to teacher"},
             {"name": "teacher tokens", "value": f"{percent(relay['call_ratio'])} %",
              "more": f"{relay['calls_per_answer']:.2f} calls per answer"},
             {"name": "accuracy", "value": f"{percent(relay['accuracy'])} %", "more": _ends(methods)}]
    query = summary["comparisons"].get("random_query")
    if query:
        lead, matched = query["at_equal_call_ratio"], query["performance_matched"]
        found += [{"name": "over a random router", "value": points(lead["difference"], None),
                   "more": f"points at an equal call ratio {points(lead['difference'], lead['ci']).partition(' ')[2]}"},
                  {"name": "fewer teacher tokens", "value": f"{percent(matched['reduction'])} %",
                   "more": f"than the random router that is as good ({percent(matched['share'], 0)} % of questions)"}]
    return found


JUDGE = ("method", "rule", "judge", "both right", "rule only", "judge only", "both wrong", "unclear")


def judge_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """Rule and judge side by side under the heads of JUDGE: average accuracies, then answers."""
    cells = {name: summary["methods"][name]["average"] for name in summary["judge"] or ()}
    return [[name, f"{percent(cell['accuracy'])} {between(cell['accuracy_ci'])}",
             f"{percent(cell['accuracy_judged'])} {between(cell['accuracy_judged_ci'])}",
             *map(str, summary["judge"][name].values())] for name, cell in cells.items()]


def judge_name(summary: Mapping[str, Any]) -> str:
    """The judge model as a table's head ends with it, `: NAME`; empty where no model judged."""
    return f": {summary['judge_model']}" if summary["judge_model"] else ""


def thinking(summary: Mapping[str, Any]) -> str:
    """Whether the chat template asked for thinking, behind a list; empty where nobody said."""
    mode = summary["enable_thinking"]
    return "" if mode is None else f", thinking {'on' if mode else 'off'}"


BIAS = ("method", "call bias", "tokens per call", "call %", "accuracy")


def bias_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """The points of the bias curve under the heads of BIAS."""
    return [[point["method"], f"{point['call_bias']:+.2f}", _longer(point["min_call_tokens"]),
             percent(point["call_ratio"], 2),
             f"{percent(point['accuracy'])} {between(point['accuracy_ci'])}"]
            for point in (summary["bias_curve"] or {"points": []})["points"]]


def _longer(tokens: int) -> str:
    return "as asked" if tokens == 1 else f"at least {tokens}"


def _ends(methods: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {percent(methods[name]['average']['accuracy'])}" for name in ("base", "teacher")
                     if name in methods)


REWARD_HACKING = ("method", "tokens", "× base", "calls", "callers", "mean n", "usual n", "n at limit",
                  "all calls used", "chained", "empty", "solved alone", "of its own", "truncated", "teacher failed",
                  "time limits")


def reward_hacking_rows(summary: Mapping[str, Any]) -> list[list[str]]:
    """One row of checks per trained policy, under the heads of REWARD_HACKING."""
    return [_reward_hacking_row(*item) for item in summary["reward_hacking"].items()]


def _reward_hacking_row(name: str, checks: Mapping[str, Any]) -> list[str]:
    """One method's row under the heads of REWARD_HACKING."""
    shares = [checks[key] for key in ("n_at_limit", "answers_at_call_limit", "chained", "empty", "solved_alone",
                                      "solved_alone_of_teacher_free", "truncated", "degraded")]
    common = checks["most_common_n"]
    return [name, f"{checks['completion_tokens']:.1f}",
            NONE if checks["length_vs_base"] is None else f"{checks['length_vs_base']:.2f}",
            f"{checks['calls_per_answer']:.2f}", f"{percent(checks['callers'], 0)} %",
            NONE if checks["mean_n"] is None else f"{checks['mean_n']:.1f}",
            NONE if common is None else f"{common} ({percent(checks['most_common_n_share'], 0)} %)",
            *[f"{percent(share, 0)} %" if share is not None else NONE for share in shares], str(checks["time_limits"])]
