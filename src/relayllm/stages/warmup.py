"""Stage warmup: supervised fine-tuning on completions that contain calls."""

from __future__ import annotations

from pathlib import Path

from relayllm.config import WarmupConfig
from relayllm.settings import current_settings
from relayllm.tracking.run import report_metrics
from relayllm.training.checkpoints import close_folder
from relayllm.training.launching import deepspeed_command, is_main_process


def launcher(config: WarmupConfig) -> list[str] | None:
    """The processes of this stage are started by DeepSpeed's launcher, unless it trains without."""
    return deepspeed_command(config.processes) if config.zero_stage else None


def run(config: WarmupConfig, *, warmup_set: Path, student: Path, model: Path, metrics: Path) -> None:
    """Fine-tune the student on completions that contain calls."""
    import pandas

    from relayllm.training.warmup import train

    rows = pandas.read_parquet(warmup_set)
    folder = current_settings().runs / "warmup"
    measured = train(config, rows, student, model, folder, [warmup_set, student])
    if is_main_process():
        report_metrics(metrics, measured)
        close_folder(folder)
