"""The data of the warm-up."""

from __future__ import annotations

import random
from dataclasses import asdict
from pathlib import Path

from relayllm.config import WarmupSetConfig
from relayllm.files import atomic_write
from relayllm.problems.problem import read_problems
from relayllm.problems.prompting import messages
from relayllm.progress import printer
from relayllm.stages.filter import alone
from relayllm.tracking.run import report_metrics


def run(config: WarmupSetConfig, *, problems: Path, student: Path, warmup_set: Path, metrics: Path) -> None:
    """Let the untouched student write answers and put commands into them."""
    import pandas

    from relayllm import RelayDecoder
    from relayllm.engines.commands import add_to_tokenizer
    from relayllm.training.warmup_data import WarmupRow, insert_commands
    from relayllm.validation.checks import check_warmup_set

    chosen = read_problems(problems)
    rng = random.Random(config.seed)
    rng.shuffle(chosen)
    chosen = chosen[:config.problems]
    decoder = RelayDecoder.from_pretrained(student)
    traces = decoder.generate([messages(problem) for problem in chosen], n=config.samples, seed=config.seed,
                              progress=printer("warmup_set"), **alone(config.decoding))
    commands = add_to_tokenizer(decoder.tokenizer)
    rows = []
    for index, trace in enumerate(traces):
        written, numbers = insert_commands(trace.token_ids, commands, rng, max_commands=config.max_commands,
                                           digits=config.digits)
        rows.append(WarmupRow(chosen[index // config.samples].id, trace.prompt_ids, tuple(written), tuple(numbers)))
    table = pandas.DataFrame([asdict(row) for row in rows])
    check_warmup_set(table, commands)
    with atomic_write(warmup_set) as part:
        table.to_parquet(part, index=False)
    numbers = [n for row in rows for n in row.commands]
    report_metrics(metrics, {"rows": len(rows), "commands": len(numbers), "mean_n": sum(numbers) / max(1, len(numbers)),
                             "mean_tokens": sum(len(row.completion_ids) for row in rows) / len(rows)})
