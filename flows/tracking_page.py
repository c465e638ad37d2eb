"""Addresses of MLflow's pages, for links."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from relayllm.settings import current_settings

if TYPE_CHECKING:
    from relayllm.registry.client import Version

LOCAL = "http://127.0.0.1:5000"
"""Where `make ui` shows the embedded store."""


def base() -> str:
    """RELAY_MLFLOW_PAGE when it is set, the tracking server when there is one, else where `make ui` serves."""
    tracking = current_settings().tracking_uri
    return (os.environ.get("RELAY_MLFLOW_PAGE") or (tracking if tracking.startswith("http") else LOCAL)).rstrip("/")


def version_page(version: Version) -> str:
    """The page of a model version."""
    return f"{base()}/#/models/{version.name}/versions/{version.number}"


def run_page(experiment: str, run: str) -> str:
    """The page of a run."""
    return f"{base()}/#/experiments/{experiment}/runs/{run}"
