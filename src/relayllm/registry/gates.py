"""The typed form of `mlflow/registry.yaml`: what a version must show, and what the monitor holds it to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError

from relayllm.config import Count, Section, Share
from relayllm.errors import ConfigError, faults_in_words
from relayllm.settings import Settings, current_settings

Positive = Annotated[float, Field(gt=0)]


class ComparisonConfig(Section):
    """How two versions are compared."""

    bootstrap: Count
    confidence: Share
    seed: int


class AccuracyGate(Section):
    max_drop: Share
    """The interval of (candidate - champion) may reach this far below zero; that of (candidate - the best of the
    champions before), too: small losses do not add up."""


class FloorGate(Section):
    """What a version must reach whatever the champion scores, the first one included."""

    min_accuracy: Share
    above_student: Share
    """Accuracy must be more than this above the untouched student alone, where the package knows its score."""


class RatioGate(Section):
    low: Share
    high: Share


class ParityGate(Section):
    prompts: Count
    min_share: Share


class LatencyGate(Section):
    prompts: Count
    max_seconds: Positive
    """Median of whole answers, asked one at a time."""


class Gates(Section):
    accuracy: AccuracyGate
    floor: FloorGate
    call_ratio: RatioGate
    parity: ParityGate
    latency: LatencyGate


class MonitorConfig(Section):
    problems: Count
    """Asked per benchmark."""
    confidence: Share
    max_drop: Share
    max_call_ratio_change: Share
    max_degraded_share: Share
    act: Literal["warn", "rollback"]


class RegistryConfig(Section):
    """The whole of `mlflow/registry.yaml`."""

    comparison: ComparisonConfig
    gates: Gates
    monitor: MonitorConfig


def load_gates(settings: Settings | None = None) -> RegistryConfig:
    """The gates of this project: mlflow/registry.yaml."""
    return read_gates((settings or current_settings()).root / "mlflow" / "registry.yaml")


def read_gates(path: Path) -> RegistryConfig:
    """Read and check the gates of a file.

    Raises:
        ConfigError: missing file, unknown or missing key, wrong value.
    """
    if not path.is_file():
        raise ConfigError(f"no {path}: without gates nothing is promoted; take the one that is in git")
    try:
        return RegistryConfig.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ConfigError(f"{path} does not say what it must: {faults_in_words(error.errors())}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
