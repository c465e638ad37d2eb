"""A comparison of two versions for people and programs: text, Markdown, JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from relayllm.registry.comparison import Comparison, GateResult, Side
from relayllm.tracking.provenance import short_commit


def to_text(comparison: Comparison, gates: Sequence[GateResult] = ()) -> str:
    """The comparison as text for a terminal."""
    rows = table(comparison)
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    lines = [_title(comparison), "",
             "  ".join(key.ljust(width) if not key else key.rjust(width) for key, width in widths.items())]
    lines += ["  ".join(row[key].ljust(width) if not key else row[key].rjust(width) for key, width in widths.items())
              for row in rows]
    lines += ["", *facts(comparison)]
    if gates:
        lines += ["", *(f"{'holds' if gate.passed else 'FAILS'}  {gate.name}: {gate.detail}" for gate in gates)]
    return "\n".join(lines)


def to_markdown(comparison: Comparison, gates: Sequence[GateResult] = ()) -> str:
    """The comparison as Markdown, for Prefect, MLflow and the version's description."""
    rows = table(comparison)
    lines = [f"## {_title(comparison)}", "", _line(rows[0]), _line(["---"] * len(rows[0]))]
    lines += [_line(row.values()) for row in rows]
    lines += ["", *(f"- {fact}" for fact in facts(comparison))]
    if gates:
        lines += ["", _line(["gate", "", "found"]), _line(["---"] * 3)]
        lines += [_line([gate.name, "holds" if gate.passed else "**fails**", gate.detail]) for gate in gates]
    return "\n".join(lines) + "\n"


def to_json(comparison: Comparison, gates: Sequence[GateResult] = ()) -> dict[str, Any]:
    """The comparison as JSON, for programs."""
    return {
        "old": comparison.old.label if comparison.old else None, "new": comparison.new.label,
        "paired": comparison.paired, "params": [list(change) for change in comparison.changed_params],
        "rows": [{"name": row.name, "old": row.old, "new": row.new, "difference": row.difference and
                  [row.difference.value, row.difference.low, row.difference.high]} for row in comparison.rows],
        "gates": [{"name": gate.name, "passed": gate.passed, "detail": gate.detail} for gate in gates],
    }


def table(comparison: Comparison) -> list[dict[str, str]]:
    """The rows as text: accuracy with its interval, difference, call ratio; then latency."""
    rows = [{"": row.name, "accuracy before": _score(row.old), "accuracy now": _score(row.new),
             "difference": str(row.difference or "-"), "call % before": _ratio(row.old), "call % now": _ratio(row.new)}
            for row in comparison.rows]
    if comparison.old is None:
        rows = [{key: value for key, value in row.items() if key not in ("accuracy before", "difference",
                                                                         "call % before")} for row in rows]
    return rows


def facts(comparison: Comparison) -> Iterator[str]:
    """What else differs, a line each: price, latency, data set, commit, parameters."""
    old, new = comparison.old, comparison.new
    if new.cost or (old and old.cost):
        yield _change("price", _price(old), _price(new))
    yield _change("seconds per answer", _seconds(old), _seconds(new))
    yield _change("data set", (old.data if old else "") or "-", new.data or "-")
    yield _change("commit", (short_commit(old.commit) if old else "") or "-", short_commit(new.commit) or "-")
    yield from (_change(name, before, now) for name, before, now in comparison.changed_params)
    if not comparison.paired:
        yield "the two were not scored on the same problems: the intervals are wider, as of two samples"


def _score(score: Mapping[str, Any] | None) -> str:
    if not score:
        return "-"
    text, interval = f"{100 * score['accuracy']:.1f}", score.get("accuracy_ci")
    return f"{text} [{100 * interval[0]:.0f}, {100 * interval[1]:.0f}]" if interval else text


def _ratio(score: Mapping[str, Any] | None) -> str:
    return f"{100 * score['call_ratio']:.2f}" if score else "-"


def _seconds(side: Side | None) -> str:
    return "-" if side is None or side.seconds is None else f"{side.seconds:.2f}"


def _price(side: Side | None) -> str:
    """As `0.0127 USD per 1,000 answers, 4.6 % of the teacher alone`."""
    paid = side.cost if side else None
    if not paid or paid["cost"] is None:
        return "-"
    text = f"{paid['cost']:.4g} {paid['currency']} per {paid['answers']:,} answers"
    return text if paid["of_teacher"] is None else f"{text}, {100 * paid['of_teacher']:.1f} % of the teacher alone"


def _change(name: str, old: str, new: str) -> str:
    return f"{name}: {new}" if old in (new, "-") else f"{name}: {old} -> {new}"


def _title(comparison: Comparison) -> str:
    return (f"Version {comparison.new.label}, the first" if comparison.old is None else
            f"Version {comparison.new.label} against version {comparison.old.label}")


def _line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
