"""The flows of `make pipeline`, behind the command: see that their servers are there, run them, say what failed."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from flows.screen import shown  # noqa: E402
from flows.servers import check_prefect, check_tracking  # noqa: E402
from relayllm.errors import RelayError  # noqa: E402
from relayllm.files import disk_full_message, is_disk_full  # noqa: E402
from relayllm.registry.faults import check_registry  # noqa: E402
from relayllm.settings import current_settings, quiet  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """Run the pipeline, then the release unless that is not wanted."""
    parser = argparse.ArgumentParser(description="Run the flows.")
    parser.add_argument("--no-release", action="store_true")
    arguments = parser.parse_args(argv)
    quiet()
    try:
        _run(arguments.no_release)
    except RelayError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        if not is_disk_full(error) and not _full():
            raise
        print(f"DiskFull: {disk_full_message(error)}", file=sys.stderr)
        return 1
    return 0


def _run(no_release: bool) -> None:
    check_prefect()
    warning = check_tracking()
    if warning:
        print(f"warning: {warning}", file=sys.stderr, flush=True)
    from flows.pipeline_flow import pipeline
    from flows.release_flow import release

    with shown(current_settings().runs / "logs"):
        pipeline(str(current_settings().root))
        if not no_release:
            check_registry()
            release()


def _full() -> bool:
    """Whether the store's disk has no room: Prefect's own server says only that it failed."""
    found = os.statvfs(current_settings().root)
    return found.f_bavail * found.f_frsize < 1 << 16


if __name__ == "__main__":
    sys.exit(main())
