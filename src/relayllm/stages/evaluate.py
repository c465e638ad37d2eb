"""The benchmarks, answered by every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relayllm.config import EvaluateConfig, load_params
from relayllm.errors import ConfigError
from relayllm.files import atomic_write
from relayllm.problems.problem import Problem, read_problems
from relayllm.settings import current_settings
from relayllm.tracking.run import report_metrics

if TYPE_CHECKING:
    from relayllm.evaluation.judging import Judge
    from relayllm.evaluation.records import Record


def run(config: EvaluateConfig, *, data: Path, base: Path, warmup: Path, grpo: Path, teacher: Path, others: Path,
        records: Path, metrics: Path) -> None:
    """Answer the benchmarks with every method and grade the answers."""
    import pandas

    from relayllm.evaluation.analysis.bias_curve import write_bias_curve
    from relayllm.evaluation.answering import Models, answer, cost_of, random_query
    from relayllm.evaluation.calibration import Calibration
    from relayllm.evaluation.counterfactual import counterfactuals
    from relayllm.evaluation.judging import Judge
    from relayllm.evaluation.methods import method
    from relayllm.evaluation.records import write_records

    runs = sorted(path.parent.name for path in grpo.glob("*/model"))
    benchmarks = read_benchmarks(data)
    calibration = Calibration(read_problems(data / "train.jsonl")[:config.calibration_problems], config)
    judge = Judge(config.judge, current_settings().judge_url) if config.judge else None
    if judge:
        judge.verify()
    models = Models(base, warmup, teacher, others, grpo)
    teachers = sorted(path.parent.name for path in others.glob("*/config.json"))
    chosen = [method(name, runs, config.relay, teachers) for name in config.methods]
    chosen.sort(key=lambda one: (one.policy is not None or one.simulated, one.simulated))  # rivals after the relay
    done: dict[str, list[Record]] = {}
    for one in chosen:
        cost = cost_of(done[config.relay]) if config.relay in done else None
        if one.simulated:
            missing = [name for name in ("base", "teacher", config.relay) if name not in done]
            if missing:
                raise ConfigError(f"{one.name} is drawn from other methods' records: add {', '.join(missing)} to "
                                  "evaluate.methods")
            done[one.name] = random_query(done["base"], done["teacher"], cost, config.seed)  # type: ignore[arg-type]
        else:
            done[one.name] = answer(one, models, benchmarks, config, cost=cost, calibration=calibration)
    verdicts = _verdicts(judge, done)
    with atomic_write(records) as part:
        for name in config.methods:
            write_records(part / f"{name}.parquet", done[name], verdicts.get(name))
        if calibration.bias_curve:
            write_bias_curve(part, config.relay, {one.name: calibration.found[one.name].value for one in chosen
                                                  if one.call_ratio_factor is not None}, calibration.bias_curve)
        if config.call_value_problems and config.relay in done:
            table = counterfactuals(models.decoder(method(config.relay, runs, config.relay)), benchmarks, config,
                                    cost_of(done[config.relay]))
            (part / "call_value").mkdir()
            pandas.DataFrame(table).to_parquet(part / "call_value" / f"{config.relay}.parquet", index=False)
    found = {name: {"setting": one.value, "train_call_ratio": one.call_ratio, "train_target": one.target}
             for name, one in calibration.found.items()}
    report_metrics(metrics, {name: {**_summary(done[name]), **found.get(name, {})} for name in config.methods})


def _verdicts(judge: Judge | None, done: Mapping[str, Sequence[Record]]) -> dict[str, list[bool | None]]:
    """What the judge says of every answer, method by method; nothing without a judge."""
    if judge is None:
        return {}
    said = iter(judge.verdicts([row for rows in done.values() for row in rows]))
    return {name: [next(said) for _ in rows] for name, rows in done.items()}


def read_benchmarks(data: Path) -> dict[str, list[Problem]]:
    """The benchmarks of a data folder, in the order of the params."""
    params = current_settings().params
    order = load_params(params).ingest.benchmarks if params.is_file() else []
    files = {path.stem: path for path in (data / "benchmarks").glob("*.jsonl")}
    return {name: read_problems(files[name]) for name in [*order, *sorted(set(files) - set(order))] if name in files}


def _summary(rows: Sequence[Record]) -> dict[str, float]:
    """Means over the benchmarks of their means."""
    by_benchmark: dict[str, list[Record]] = {}
    for row in rows:
        by_benchmark.setdefault(row.benchmark, []).append(row)
    means: dict[str, float] = {}
    for key in ("correct", "call_ratio", "completion_tokens", "calls"):
        values = [sum(getattr(row, key) for row in group) / len(group) for group in by_benchmark.values()]
        means[{"correct": "accuracy"}.get(key, key)] = sum(values) / max(1, len(values))
    return means
