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
from flows.interruption import supervise  # noqa: E402
from flows.release_note import last_release, read_note  # noqa: E402
from flows.score_table import text_table  # noqa: E402
from relayllm.errors import RelayError  # noqa: E402
from relayllm.settings import check_params_are_dvcs, current_settings, quiet  # noqa: E402
from relayllm.tracking.spool import unsent  # noqa: E402

NEXT = {"serve": ".venv/bin/relay serve          ask the promoted model",
        "promote": "docs/pipeline.md               what the gates ask for; `relay promote candidate --force REASON`"}


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
        code, fate = _do(arguments.no_release)
    except RelayError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    if code == 0:
        _show(time.monotonic() - started, fate)
    return code


def _do(no_release: bool) -> tuple[int, str]:
    """Do what there is to do; the exit code, and what became of the release."""
    settings = current_settings()
    check_params_are_dvcs(settings)
    made = not ingest_needed() and not dvc_stages.read_plan(settings.root).changed
    status = last_release() if made and not no_release else None
    if made and (no_release or (status is not None and status.done)):
        print("Everything is up to date.")
        return 0, status.text if status else ""
    if status is not None:
        print(f"{status.text}: releasing again", flush=True)
    words = [sys.executable, str(ROOT / "flows/run_flows.py"), *(["--no-release"] if no_release else [])]
    code, note = supervise(words, settings.root), read_note()
    return code, _fate(note) if note and not no_release else ""


def _show(seconds: float, fate: str) -> None:
    """The table, what became of the release, and where to look next."""
    root = current_settings().root
    summary = root / "artifacts/report/summary.json"
    if not summary.is_file():
        return
    print(text_table(json.loads(summary.read_text())))
    if fate:
        print(f"\n{fate}")
    left = len(unsent(current_settings()))
    if left:
        print(f"\nThe runs of {left} stages are not in MLflow: `relay sync` sends them once its server is there.")
    print(f"\nDone in {seconds:.0f} s. Where to look next:\n"
          "  artifacts/report/report.html   accuracy against call ratio, coloured answers\n"
          "  make ui                        the runs in Prefect, the versions in MLflow\n"
          f"  {NEXT['serve' if 'is champion' in fate or not fate else 'promote']}")


def _fate(note: dict[str, Any]) -> str:
    """What the release decided, as it noted."""
    fate = "is champion" if note["champion"] else "stays candidate"
    return f"{note['name']} version {note['version']} {fate}: {note['reason']}"


if __name__ == "__main__":
    sys.exit(main())
