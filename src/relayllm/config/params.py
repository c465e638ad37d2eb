"""The whole of `params.yaml`."""

from __future__ import annotations

from pydantic import Field

from relayllm.config.data import FilterConfig, IngestConfig, ValidateConfig, WarmupSetConfig
from relayllm.config.evaluation import EvaluateConfig, PackageConfig, ReportConfig
from relayllm.config.models import BaseModelsConfig
from relayllm.config.shared import NonEmpty, Section, Seed
from relayllm.config.training import GrpoConfig, WarmupConfig


class Params(Section):
    """The whole of `params.yaml`."""

    profile: NonEmpty
    """The name of this whole file; those shipped are in `params/`."""
    seed: Seed
    """Of the report's draws; each stage has its own."""
    ingest: IngestConfig
    """Which problems."""
    validate_: ValidateConfig = Field(alias="validate")
    """`validate` in the file: what problems may be like."""
    base_models: BaseModelsConfig
    """Where student and teacher come from."""
    filter: FilterConfig
    """Which training problems stay."""
    warmup_set: WarmupSetConfig
    """Answers of the student with commands in them."""
    warmup: WarmupConfig
    """Supervised training on them."""
    grpo: GrpoConfig
    """Reinforcement with the relay in the loop."""
    evaluate: EvaluateConfig
    """Benchmarks and methods."""
    report: ReportConfig
    """What is told of them."""
    package: PackageConfig
    """What is packed and released."""

    def section(self, name: str) -> Section:
        """The section of one stage, by the stage's name."""
        return getattr(self, "validate_" if name == "validate" else name)  # type: ignore[no-any-return]
