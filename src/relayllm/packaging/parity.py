"""Parity of a package with the decoder it was made from: questions asked before it was packed, and again after."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from relayllm.config import GREEDY, Decoding
from relayllm.errors import DataError, ModelError
from relayllm.packaging.folder import ParityCase, open_package
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

    from relayllm.engines.decoder import RelayDecoder


@dataclass(frozen=True, slots=True)
class ParityResult:
    """What the packaged version showed when it was asked just now."""

    same: int
    """Parity questions answered token for token as before packing."""
    asked: int
    seconds: float
    """Median of whole answers, one at a time."""
    strays: tuple[str, ...] = ()
    """Ids of the problems that were answered otherwise."""


def parity_cases(records: pd.DataFrame, count: int, decoder: RelayDecoder, decoding: Decoding) -> list[ParityCase]:
    """Ask the decoder, before it is packed, the first questions of every benchmark, greedy."""
    rows = _first_of_each(records[records["sample"] == 0], count)
    prompts = [_prompt(row) for row in rows]
    traces = decoder.generate(prompts, seed=0, **decoding.greedy().options())
    return [ParityCase(str(row["benchmark"]), str(row["problem_id"]), prompt, trace.text,
                       tuple(int(token) for token in trace.token_ids))
            for row, prompt, trace in zip(rows, prompts, traces, strict=True)]


def same_as_evaluated(records: pd.DataFrame, parity: Sequence[ParityCase]) -> list[bool]:
    """For the questions that were evaluated once, hence greedy: whether the evaluation got the same text."""
    rows = records.set_index(["benchmark", "problem_id"]).sort_index()
    found = [(rows.loc[[(case.benchmark, case.problem_id)]], case) for case in parity]
    return [str(row["text"].iloc[0]) == case.text for row, case in found if len(row) == 1]


def _first_of_each(records: pd.DataFrame, count: int) -> list[dict[str, Any]]:
    """One question of each benchmark, then a second of each, until there are enough."""
    if records.empty:
        raise DataError("the records of the packaged method are empty: run `dvc repro evaluate` again")
    turns = records.assign(turn=records.groupby("benchmark", sort=False).cumcount())
    rows = turns.sort_values("turn", kind="stable").head(count).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def _prompt(row: Mapping[str, Any]) -> str:
    problem = Problem(str(row["problem_id"]), str(row["question"]), str(row["gold"]), str(row["benchmark"]))
    return str(messages(problem)[-1]["content"])


def measure(folder: Path, timed: int) -> ParityResult:
    """Load a package as MLflow does, compare its greedy answers with those in its record, and time the first `timed`.

    Raises:
        ModelError: it cannot be loaded.
    """
    import mlflow.pyfunc

    try:
        model = mlflow.pyfunc.load_model(str(folder))
    except Exception as error:  # whatever the model's code raises
        raise ModelError(f"{folder} cannot be loaded by MLflow: {error}") from error
    return ask(model, folder, timed)


def ask(model: PyFuncModel, folder: Path, timed: int) -> ParityResult:
    """Answer the parity questions as one batch, then the first `timed` of them one by one with a clock."""
    cases = open_package(folder).parity
    greedy = {**GREEDY, "seed": 0}
    answers = model.predict([{"prompt": case.prompt} for case in cases], params=greedy)
    strays = [case.problem_id for case, ids in zip(cases, answers["token_ids"], strict=True)
              if tuple(ids) != case.token_ids]
    seconds = []
    for case in cases[:timed]:
        started = time.perf_counter()
        model.predict([{"prompt": case.prompt}], params=greedy)
        seconds.append(time.perf_counter() - started)
    return ParityResult(len(cases) - len(strays), len(cases), statistics.median(seconds), tuple(strays))
