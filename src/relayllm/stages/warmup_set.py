"""Stage warmup_set: completions with commands put into them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from relayllm.config import WarmupSetConfig
from relayllm.files import atomic_write
from relayllm.problems.problem import Problem, read_problems
from relayllm.problems.prompting import messages
from relayllm.progress import printer
from relayllm.settings import current_settings
from relayllm.stages.filter import without_calls
from relayllm.tracking.run import report_metrics

if TYPE_CHECKING:
    from relayllm.relay.trace import Trace


def run(config: WarmupSetConfig, *, problems: Path, student: Path, warmup_set: Path, metrics: Path) -> None:
    """Let the untouched student write answers and put commands into them."""
    import pandas

    from relayllm.engines.commands import add_to_tokenizer
    from relayllm.engines.loading import load_tokenizer
    from relayllm.training.warmup_data import WarmupRow, insert_commands, surprise
    from relayllm.validation.checks import check_warmup_set

    chosen = read_problems(problems)
    rng = random.Random(config.seed)
    rng.shuffle(chosen)
    chosen = chosen[:config.problems]
    commands = add_to_tokenizer(load_tokenizer(student))
    rows = []
    for index, trace in enumerate(_answers(config, student, chosen)):
        weights = surprise(trace, commands.digits) if config.places == "surprisal" else None
        written, numbers = insert_commands(trace.token_ids, commands, rng, max_commands=config.max_commands,
                                           digits=config.digits, weights=weights)
        rows.append(WarmupRow(chosen[index // config.samples].id, trace.prompt_ids, tuple(written), tuple(numbers)))
    table = pandas.DataFrame([asdict(row) for row in rows])
    check_warmup_set(table, commands)
    with atomic_write(warmup_set) as part:
        table.to_parquet(part, index=False)
    numbers = [n for row in rows for n in row.commands]
    report_metrics(metrics, {"rows": len(rows), "commands": len(numbers), "mean_n": sum(numbers) / max(1, len(numbers)),
                             "mean_tokens": sum(len(row.completion_ids) for row in rows) / len(rows)})


def _answers(config: WarmupSetConfig, student: Path, problems: Sequence[Problem]) -> list[Trace]:
    """The student's answers, from this process or from its server; none is decoded twice."""
    from relayllm.evaluation.answer_cache import answer_cache
    from relayllm.evaluation.models import writer_at

    with answer_cache(current_settings().runs) as answers:
        writer = writer_at(current_settings().student_urls.get("base", student), student, answers)
        return writer.generate([messages(problem) for problem in problems], n=config.samples, seed=config.seed,
                               progress=printer("warmup_set"), **without_calls(config.decoding))
