"""What `make pipeline` runs: see whether anything is to do, do it by the flows, print what came out."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from flows import dvc_stages  # noqa: E402
from flows.data_set import ingest, ingest_needed  # noqa: E402
from relayllm.errors import RelayError  # noqa: E402
from relayllm.settings import current_settings, quiet  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """`make pipeline`: do what there is to do and print what came out."""
    parser = argparse.ArgumentParser(description="Run the pipeline.")
    parser.add_argument("--ingest-only", action="store_true", help="write and pin data/, then stop")
    parser.add_argument("--no-release", action="store_true", help="stop before the registry")
    arguments = parser.parse_args(argv)
    quiet()
    started = time.monotonic()
    try:
        if arguments.ingest_only:
            ingest(print)
            return 0
        if _idle(arguments.no_release):
            print("Everything is up to date.")
        else:
            _start(arguments.no_release)
    except RelayError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    _show(time.monotonic() - started)
    return 0


def _idle(no_release: bool) -> bool:
    """Whether nothing is to do: then Prefect and MLflow need not even start."""
    if ingest_needed() or dvc_stages.read_plan(current_settings().root).changed:
        return False
    return no_release or _released()


def _released() -> bool:
    note = current_settings().runs / "release.json"
    known = json.loads(note.read_text()) if note.is_file() else {}
    return known.get("dvc_lock") == dvc_stages.lock_hash(current_settings().root)


def _start(no_release: bool) -> None:
    from flows.pipeline_flow import pipeline
    from flows.release_flow import release

    pipeline(str(current_settings().root))
    if not no_release:
        release()


def _show(seconds: float) -> None:
    """The table, and where to look next."""
    root = current_settings().root
    summary = root / "artifacts/report/summary.json"
    if not summary.is_file():
        return
    print(render(json.loads(summary.read_text())))
    print(_verdict())
    print(f"\nDone in {seconds:.0f} s. Where to look next:\n"
          "  artifacts/report/report.html   accuracy against call ratio, coloured answers\n"
          "  make ui                        the runs in Prefect, the versions in MLflow\n"
          "  relay serve                    ask the promoted model")


def _verdict() -> str:
    """What the last release decided."""
    note = current_settings().runs / "release.json"
    if not note.is_file():
        return ""
    last = json.loads(note.read_text())
    fate = "is champion" if last["champion"] else "stays candidate"
    return f"\n{last['name']} version {last['version']} {fate}: {last['reason']}"


def render(summary: dict[str, Any]) -> str:
    """Methods x benchmarks: accuracy with its interval, and the call ratio, in percent."""
    methods = summary["methods"]
    names = list(dict.fromkeys(name for method in methods.values() for name in method["benchmarks"]))
    head = ["method", *names, "average", "call %"]
    rows = [[name, *[_cell(method["benchmarks"].get(bench)) for bench in names], _cell(method["average"], True),
             f"{100 * method['average']['call_ratio']:.2f}"] for name, method in methods.items()]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                       for column, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in [head, *rows]]
    lines.insert(1, "-" * len(lines[0]))
    gap = summary.get("gap_recovered") or {}
    if gap.get("value") is not None:
        low, high = gap["ci"]
        lines += ["", f"Gap between student and teacher recovered: {100 * gap['value']:.0f} % "
                      f"[{100 * low:.0f}, {100 * high:.0f}]"]
    return "\n".join(["", *lines])


def _cell(score: dict[str, Any] | None, interval: bool = False) -> str:
    if not score:
        return "-"
    text = f"{100 * score['accuracy']:.1f}"
    if score.get("accuracy_ci"):
        low, high = score["accuracy_ci"]
        text += f" [{100 * low:.0f}, {100 * high:.0f}]"
    return text


if __name__ == "__main__":
    sys.exit(main())
