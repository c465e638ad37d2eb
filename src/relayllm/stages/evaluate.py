"""Stage evaluate: the benchmarks, answered by every method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relayllm.config import EvaluateConfig, load_params
from relayllm.files import atomic_write
from relayllm.problems.problem import Problem, read_problems
from relayllm.settings import current_settings
from relayllm.tracking.run import report_metrics

if TYPE_CHECKING:
    from relayllm.evaluation.answer_cache import AnswerCache
    from relayllm.evaluation.answering import Evaluation
    from relayllm.evaluation.judging import Judge
    from relayllm.evaluation.methods import Method
    from relayllm.evaluation.models import Models
    from relayllm.evaluation.records import Record

Table = list[dict[str, object]]
ANSWER_SECONDS = "answer_seconds"
"""In the folder of runs: what each answer took, a file a method."""


def run(config: EvaluateConfig, *, data: Path, base: Path, warmup: Path, grpo: Path, teacher: Path, others: Path,
        records: Path, metrics: Path) -> None:
    """Answer the benchmarks with every method and grade the answers.

    Every answer and every verdict is kept as soon as it is there (`evaluation.answer_cache`): a stage that was
    stopped goes on where it was.
    """
    from relayllm.evaluation.answer_cache import answer_cache
    from relayllm.evaluation.answering import Evaluation
    from relayllm.evaluation.methods import method
    from relayllm.evaluation.models import Models

    benchmarks, training = read_benchmarks(data), read_problems(data / "train.jsonl")
    with answer_cache(current_settings().runs) as answers:
        judge = _judge(config, answers)
        runs = sorted(path.parent.name for path in grpo.glob("*/model"))
        teachers = sorted(path.parent.name for path in others.glob("*/config.json"))
        methods = [method(name, runs, config.relay, teachers) for name in config.methods]
        models = Models(base, warmup, teacher, others, grpo, answers)
        evaluation = Evaluation(config, models, benchmarks, training)
        evaluation.answer_all(methods)
        of_calls = _call_value(config, models, benchmarks, evaluation, runs)
        verdicts = _verdicts(judge, evaluation.done)
    _write(records, config, evaluation, methods, verdicts, of_calls)
    report_metrics(metrics, {name: {**_summary(evaluation.done[name]), **_setting(evaluation, name)}
                             for name in config.methods})


def read_benchmarks(data: Path) -> dict[str, list[Problem]]:
    """The benchmarks of a data folder, in the order of the params."""
    params = current_settings().params
    order = load_params(params).ingest.benchmarks if params.is_file() else []
    files = {path.stem: path for path in (data / "benchmarks").glob("*.jsonl")}
    return {name: read_problems(files[name]) for name in [*order, *sorted(set(files) - set(order))] if name in files}


def _judge(config: EvaluateConfig, answers: AnswerCache) -> Judge | None:
    """The judge, asked something before any answer is decoded."""
    from relayllm.evaluation.judging import Judge

    if config.judge is None:
        return None
    judge = Judge(config.judge, current_settings().judge_url, answers=answers)
    judge.verify()
    return judge


def _call_value(config: EvaluateConfig, models: Models, benchmarks: Mapping[str, Sequence[Problem]],
                evaluation: Evaluation, runs: Sequence[str]) -> dict[str, Table]:
    """Calls tried with and without help, and shorter, where that is asked for; a table for each folder of records."""
    from relayllm.evaluation.cost import cost_of
    from relayllm.evaluation.counterfactual import counterfactuals
    from relayllm.evaluation.methods import method
    from relayllm.evaluation.needed_tokens import needed_tokens

    if not config.call_value_problems or config.relay not in evaluation.done:
        return {}
    writer = models.writer(method(config.relay, runs, config.relay))
    return {"call_value": counterfactuals(writer, benchmarks, config, cost_of(evaluation.done[config.relay])),
            "needed_tokens": needed_tokens(writer, benchmarks, config)}


def _verdicts(judge: Judge | None, done: Mapping[str, Sequence[Record]]) -> dict[str, list[bool | None]]:
    """What the judge says of every answer, method by method; nothing without a judge."""
    if judge is None:
        return {}
    said = iter(judge.verdicts([row for rows in done.values() for row in rows]))
    return {name: [next(said) for _ in rows] for name, rows in done.items()}


def _write(records: Path, config: EvaluateConfig, evaluation: Evaluation, methods: Sequence[Method],
           verdicts: Mapping[str, list[bool | None]], of_calls: Mapping[str, Table]) -> None:
    """The folder of records, whole or not at all."""
    import pandas

    from relayllm.evaluation.analysis.bias_curve import write_bias_curve
    from relayllm.evaluation.analysis.settings_found import write_settings
    from relayllm.evaluation.records import write_records, write_seconds
    from relayllm.relay.bias_curve import CallSetting

    calibration = evaluation.calibration
    for name in config.methods:
        write_seconds(current_settings().runs / ANSWER_SECONDS / f"{name}.parquet", evaluation.done[name])
    with atomic_write(records) as part:
        for name in config.methods:
            write_records(part / f"{name}.parquet", evaluation.done[name], verdicts.get(name))
        if calibration.bias_curve:
            write_bias_curve(part, config.relay, {one.name: CallSetting.at(calibration.found[one.name].value)
                                                  for one in methods if one.call_ratio_factor is not None},
                             calibration.bias_curve)
        write_settings(part, calibration.found)
        for folder, table in of_calls.items():
            if table:
                (part / folder).mkdir()
                pandas.DataFrame(table).to_parquet(part / folder / f"{config.relay}.parquet", index=False)


def _setting(evaluation: Evaluation, name: str) -> dict[str, float]:
    found = evaluation.calibration.found.get(name)
    return {} if found is None else {"setting": found.value, "train_call_ratio": found.call_ratio,
                                     "train_target": found.target}


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
