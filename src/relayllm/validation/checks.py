"""Run the suites, and report every failed expectation with the ids of the offending rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relayllm.config import ValidateConfig
from relayllm.errors import DataError
from relayllm.problems.catalogue import row
from relayllm.problems.problem import Problem
from relayllm.relay.command import CommandTokens, parse
from relayllm.validation.repeats import add_overlap, add_same_questions
from relayllm.validation.tables import table

if TYPE_CHECKING:
    import pandas as pd

    from relayllm.validation.results import ExpectationResult


def check_problems(config: ValidateConfig, training: Sequence[Problem], benchmarks: Mapping[str, Sequence[Problem]],
                   expected_rows: Mapping[str, int], docs: Path | None = None) -> list[ExpectationResult]:
    """Check training problems and benchmarks, and write the Data Docs when a folder is given.

    `expected_rows` has the manifest's row count of "train" and of every benchmark.

    Raises:
        DataError: an expectation failed; names the sets, the expectations and the offending rows.
    """
    from relayllm.validation import suites
    from relayllm.validation.runner import Check, run

    train, held_out = table([("train", training)]), table(list(benchmarks.items()))
    held_out["public"] = [row(name).source == "huggingface" for name in held_out["set"]]
    templates = add_overlap(train, training, benchmarks, config.near_duplicate_similarity)
    add_same_questions(train, [training])
    add_same_questions(held_out, list(benchmarks.values()))
    names = list(benchmarks)
    results = run([
        Check("training", train, suites.training(config, expected_rows["train"])),
        Check("benchmarks", held_out, suites.benchmarks(config, sum(expected_rows[name] for name in names), names)),
    ], docs, [templates])
    _stop_on_failure(results, "correct the file, or change ingest and validate in params.yaml, and run `relay ingest`")
    return results


def check_warmup_set(rows: pd.DataFrame | Sequence[Mapping[str, Any]], tokens: CommandTokens) -> None:
    """Check that every completion of the warm-up set holds well-formed commands, by token ids.

    `rows` have problem_id, prompt_ids and completion_ids.

    Raises:
        DataError: names the rows and what is wrong with them.
    """
    import pandas as pd

    from relayllm.validation import suites
    from relayllm.validation.runner import Check, run

    given = pd.DataFrame(rows)
    checked = [_commands(ids, tokens) for ids in given["completion_ids"]]
    frame = pd.DataFrame({
        "id": [f"row {index} ({problem})" for index, problem in enumerate(given["problem_id"])],
        "prompt_tokens": [len(ids) for ids in given["prompt_ids"]],
        "completion_tokens": [len(ids) for ids in given["completion_ids"]],
        "calls": [calls for calls, _ in checked],
        "fault": pd.Series([fault for _, fault in checked], dtype=object),
    })
    _stop_on_failure(run([Check("warmup_set", frame, suites.warmup_set())]),
                     "see relayllm.training.warmup_data, which puts the commands in")


def check_filter(ids: Sequence[str], pass_rates: Sequence[float], min_pass_rate: float) -> None:
    """Check how the teacher's pass rates are distributed.

    Raises:
        DataError: a rate is no share, an id comes twice, or the teacher solves nothing often enough.
    """
    import pandas as pd

    from relayllm.validation import suites
    from relayllm.validation.runner import Check, run

    frame = pd.DataFrame({"id": list(ids), "pass_rate": list(pass_rates)})
    _stop_on_failure(run([Check("filter", frame, suites.pass_rates(min_pass_rate))]),
                     "train the teacher longer, or lower filter.min_pass_rate in params.yaml")


def _commands(ids: Sequence[int], tokens: CommandTokens) -> tuple[int, str | None]:
    with suppress(TypeError):
        try:
            return len(parse([int(token) for token in ids], tokens)), None
        except ValueError as error:
            return 0, str(error)
    return 0, "completion_ids are no token ids"


def _stop_on_failure(results: Sequence[ExpectationResult], remedy: str) -> None:
    failed = [result for result in results if not result.passed and result.critical]
    if failed:
        lines = "\n".join(f"  {result}" for result in failed)
        raise DataError(f"{len(failed)} expectation{'s' * (len(failed) > 1)} failed:\n{lines}\nTo go on, {remedy}")
