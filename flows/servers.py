"""Whether the servers that a run needs are there: asked once, before the first stage."""

from __future__ import annotations

import os

from relayllm.errors import ConfigError
from relayllm.settings import current_settings, without_secrets
from relayllm.tracking.reach import unreachable, unreachable_store


def check_prefect() -> None:
    """Look whether the Prefect server is there that PREFECT_API_URL names.

    Raises:
        ConfigError: nobody answers at that address.
    """
    address = os.environ.get("PREFECT_API_URL", "").rstrip("/")
    fact = unreachable(f"{address}/health") if address else ""
    if fact:
        raise ConfigError(f"PREFECT_API_URL is {without_secrets(address)}, and nobody answers there ({fact}): start "
                          "that server, or unset it, then a temporary one is used")


def check_tracking() -> str:
    """What to tell when the tracking server is away: the stages run all the same. Empty when it answers."""
    settings = current_settings()
    address = settings.tracking_uri.rstrip("/")
    fact = unreachable_store(address)
    if not fact:
        return ""
    return (f"MLFLOW_TRACKING_URI is {without_secrets(address)}, and nobody answers there ({fact}): the stages run, "
            "what they log is kept in runs/unsent for `relay sync`; the release needs the server")
