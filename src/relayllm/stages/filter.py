"""Stage filter: the paper's data filter."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relayllm.config import Decoding, FilterConfig
from relayllm.grading import grade
from relayllm.problems.problem import Problem, read_problems, write_problems
from relayllm.problems.prompting import messages
from relayllm.progress import printer
from relayllm.settings import current_settings
from relayllm.tracking.run import report_metrics

if TYPE_CHECKING:
    from relayllm.relay.trace import Trace


def run(config: FilterConfig, *, data: Path, teacher: Path, kept: Path, metrics: Path) -> None:
    """Keep the training problems that the teacher can solve.

    Raises:
        TeacherError: the teacher is elsewhere, and does not answer.
    """
    from relayllm.validation.checks import check_filter

    problems = read_problems(data / "train.jsonl")
    random.Random(config.seed).shuffle(problems)
    chosen = problems[:config.problems]
    if not config.enabled:
        write_problems(kept, chosen)
        report_metrics(metrics, {"problems": len(chosen), "kept": len(chosen)})
        return
    traces = _answers(config, teacher, chosen)
    rates = []
    for index, problem in enumerate(chosen):
        mine = traces[index * config.samples:(index + 1) * config.samples]
        rates.append(sum(grade(trace.text, problem).correct for trace in mine) / config.samples)
    passed = [problem for problem, rate in zip(chosen, rates, strict=True) if rate >= config.min_pass_rate]
    check_filter([problem.id for problem in chosen], rates, config.min_pass_rate)
    write_problems(kept, passed)
    report_metrics(metrics, {"problems": len(chosen), "kept": len(passed), "kept_share": len(passed) / len(chosen),
                             "mean_pass_rate": sum(rates) / len(rates),
                             "truncated_share": sum(trace.truncated for trace in traces) / len(traces)})


def _answers(config: FilterConfig, teacher: Path, problems: Sequence[Problem]) -> list[Trace]:
    """The teacher's answers, from this process or from the server that stands in for it; none is asked for twice."""
    from relayllm.evaluation.answer_cache import answer_cache
    from relayllm.evaluation.models import teacher_alone

    with answer_cache(current_settings().runs) as answers:
        return teacher_alone(teacher, answers, "filter").generate(
            [messages(problem) for problem in problems], n=config.samples, seed=config.seed,
            progress=printer("filter"), **without_calls(config.decoding))


def without_calls(decoding: Decoding) -> dict[str, Any]:
    """Options for a model that answers without calls."""
    return {"max_new_tokens": decoding.max_new_tokens, "temperature": decoding.temperature, "top_p": decoding.top_p,
            "slots": decoding.slots, "max_calls": 0, "enable_thinking": decoding.enable_thinking}
