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
    seed: Seed
    ingest: IngestConfig
    validate_: ValidateConfig = Field(alias="validate")
    base_models: BaseModelsConfig
    filter: FilterConfig
    warmup_set: WarmupSetConfig
    warmup: WarmupConfig
    grpo: GrpoConfig
    evaluate: EvaluateConfig
    report: ReportConfig
    package: PackageConfig

    def section(self, name: str) -> Section:
        """The section of one stage, by the stage's name."""
        return getattr(self, "validate_" if name == "validate" else name)  # type: ignore[no-any-return]
