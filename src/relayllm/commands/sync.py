"""`relay sync`: send to MLflow what stages measured while its server was away."""

from __future__ import annotations

import argparse

from relayllm.errors import TrackingError
from relayllm.settings import current_settings, without_secrets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `relay sync`: none."""


def main(arguments: argparse.Namespace) -> int:
    """Send every run in runs/unsent, the oldest first, and say which.

    Raises:
        TrackingError: the server is still away, or takes a run only in part; what is left is kept.
    """
    from relayllm.tracking.spool import send_all, unsent
    from relayllm.tracking.writer import connect

    settings = current_settings()
    try:
        for folder in send_all(settings, lambda: connect(settings)):
            print(f"sent {folder.name}", flush=True)
    except TrackingError:
        raise
    except Exception as error:  # whatever the server's client raises
        raise TrackingError(f"{without_secrets(settings.tracking_uri)} did not take all: {error}; what is left is in "
                            f"{settings.runs / 'unsent'}, run `relay sync` again") from error
    left = len(unsent(settings))
    print(f"{left} of stages that run are left" if left else "nothing is left to send")
    return 0
