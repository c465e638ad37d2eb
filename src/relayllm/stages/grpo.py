"""Stage grpo: reinforcement with the relay in the loop."""

from __future__ import annotations

from pathlib import Path

from relayllm.config import GrpoConfig
from relayllm.errors import ConfigError
from relayllm.files import write_json
from relayllm.problems.problem import read_problems
from relayllm.settings import current_settings
from relayllm.tracking.run import report_metrics
from relayllm.training.checkpoints import close_folder
from relayllm.training.launching import deepspeed_command, is_main_process


def launcher(config: GrpoConfig) -> list[str] | None:
    """Several processes, or DeepSpeed, are started by its launcher."""
    return deepspeed_command(config.processes) if config.deepspeed or config.processes > 1 else None


def run(config: GrpoConfig, *, run: str, problems: Path, student: Path, teacher: Path, model: Path, metrics: Path,
        history: Path) -> None:
    """Train a policy by reinforcement, with the relay in the loop."""
    from relayllm.training.grpo import train

    if run not in config.runs:
        raise ConfigError(f"no run {run!r} in params.yaml, grpo.runs: there are {', '.join(config.runs)}")
    folder = current_settings().runs / "grpo" / run
    measured, steps = train(config, config.runs[run], read_problems(problems), student, teacher, model, folder,
                            [problems, student, teacher], current_settings().rollout_urls.get(run, ()))
    if is_main_process():
        write_json(history, [without_seconds(step) for step in steps])
        write_json(current_settings().runs / "steps" / f"{run}.json", steps)
        report_metrics(metrics, measured)
        close_folder(folder)


def without_seconds(step: dict[str, float]) -> dict[str, float]:
    """A row of the history without its seconds, which DVC must not hash."""
    return {name: value for name, value in step.items()
            if not name.startswith("seconds") and name != "rollout_tokens_per_second"}
