"""The typed form of `params.yaml`: everything that changes a result, a section per stage.

Nothing is defaulted here: DVC hashes `params.yaml`, not Python. Imports pydantic and YAML only.
"""

from relayllm.config.data import FilterConfig, IngestConfig, ValidateConfig, WarmupSetConfig
from relayllm.config.evaluation import EvaluateConfig, JudgeConfig, PackageConfig, ReportConfig, RoutersConfig
from relayllm.config.models import BaseModelsConfig, HubModel, LocalModel, ModelSource, TinyModel
from relayllm.config.params import Params
from relayllm.config.reading import load_params
from relayllm.config.shared import GREEDY, Count, Decoding, Name, Price, PricesConfig, Section, Share
from relayllm.config.training import GrpoConfig, GrpoRun, LoraConfig, MoneyRewardConfig, RewardConfig, WarmupConfig

__all__ = [
    "GREEDY", "BaseModelsConfig", "Count", "Decoding", "EvaluateConfig", "FilterConfig", "GrpoConfig", "GrpoRun",
    "HubModel", "IngestConfig", "JudgeConfig", "LocalModel", "LoraConfig", "ModelSource", "MoneyRewardConfig", "Name",
    "PackageConfig", "Params", "Price", "PricesConfig", "ReportConfig", "RewardConfig", "RoutersConfig", "Section",
    "Share", "TinyModel", "ValidateConfig", "WarmupConfig", "WarmupSetConfig", "load_params",
]
