"""The whole of `params.yaml`, read and checked."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from relayllm.config.data import FilterConfig, IngestConfig, ValidateConfig, WarmupSetConfig
from relayllm.config.evaluation import EvaluateConfig, PackageConfig, ReportConfig
from relayllm.config.models import BaseModelsConfig
from relayllm.config.shared import Section
from relayllm.config.training import GrpoConfig, WarmupConfig
from relayllm.errors import ConfigError


class Params(Section):
    """The whole of `params.yaml`."""

    profile: str
    seed: int
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


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a params file.

    Raises:
        ConfigError: missing file, unknown or missing key, wrong value; all of them named at once.
    """
    if not path.is_file():
        raise ConfigError(f"no {path}: run in the project's root, or write one with `relay profile tiny`")
    try:
        return Params.model_validate(YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 ({error.reason}): save it as UTF-8") from error
    except YAMLError as error:  # a key that is there twice, too
        raise ConfigError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        faults = "\n".join(f"  {'.'.join(map(str, fault['loc']))}: {fault['msg']} (got {fault['input']!r:.80})"
                           for fault in error.errors())
        raise ConfigError(f"{path} does not fit this version:\n{faults}\nCompare with params/tiny.yaml, or rewrite it "
                          "with `relay profile NAME`") from error
