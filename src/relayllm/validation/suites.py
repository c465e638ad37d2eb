"""The expectation suites, in code. Imports Great Expectations: import it when a check runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from great_expectations import expectations as gxe
from great_expectations.expectations.expectation import Expectation

from relayllm.config import ValidateConfig
from relayllm.validation.tables import COLUMNS

Expectations = list[Expectation]


def training(config: ValidateConfig, rows: int) -> Expectations:
    """What must hold for training problems."""
    return [
        *_problems(config, rows),
        _gradable(severity="critical"),
        _true("solution_agrees", "a worked answer that ends in a box ends in the gold answer"),
        _none("contradicts", "no question twice with different answers"),
        _none("again", "no question twice", severity="warning"),
        _none("repeats", "no question of a benchmark: the same numbers in nearly the same words, other names or an "
              "instruction around it notwithstanding"),
        _none("variant_of", "no question of a benchmark with other numbers", severity="warning"),
    ]


def benchmarks(config: ValidateConfig, rows: int, names: Sequence[str]) -> Expectations:
    """What must hold for the benchmarks together; what is wrong with a public one is only noted: nobody can edit it."""
    return [
        *_problems(config, rows),
        gxe.ExpectColumnDistinctValuesToEqualSet(column="set", value_set=list(names),
                                                 notes="every benchmark of the manifest has problems"),
        *(expect for severity, public in (("critical", False), ("warning", True)) for expect in (
            _gradable(severity=severity, row_condition=f"public=={public}", condition_parser="pandas"),
            _none("contradicts", "no question twice with different answers", severity=severity,
                  row_condition=f"public=={public}", condition_parser="pandas"))),
    ]


def warmup_set() -> Expectations:
    """What must hold for the completions the student is warmed up on."""
    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1, notes="not empty"),
        gxe.ExpectColumnValuesToBeNull(column="fault", notes="commands are well formed: <call>, digits, </call>"),
        gxe.ExpectColumnValuesToBeBetween(column="completion_tokens", min_value=1),
        gxe.ExpectColumnValuesToBeBetween(column="prompt_tokens", min_value=1),
        gxe.ExpectColumnMaxToBeBetween(column="calls", min_value=1, notes="at least one completion has a call"),
    ]


def pass_rates(min_pass_rate: float) -> Expectations:
    """What must hold for the teacher's pass rates: shares, of different problems, and some that are kept."""
    return [
        gxe.ExpectTableRowCountToBeBetween(min_value=1, notes="not empty"),
        gxe.ExpectColumnValuesToBeUnique(column="id"),
        gxe.ExpectColumnValuesToBeBetween(column="pass_rate", min_value=0, max_value=1),
        gxe.ExpectColumnMaxToBeBetween(column="pass_rate", min_value=min_pass_rate,
                                       notes="the teacher solves at least one problem often enough to keep it"),
    ]


def _problems(config: ValidateConfig, rows: int) -> Expectations:
    return [
        gxe.ExpectTableColumnsToMatchSet(column_set=list(COLUMNS), exact_match=False),
        gxe.ExpectTableRowCountToEqual(value=rows, notes="as many rows as the manifest says"),
        gxe.ExpectTableRowCountToBeBetween(min_value=1, notes="not empty"),
        gxe.ExpectColumnValuesToBeUnique(column="id"),
        gxe.ExpectColumnValuesToMatchRegex(column="id", regex=r"\S"),
        gxe.ExpectColumnValuesToMatchRegex(column="question", regex=r"\S"),
        gxe.ExpectColumnValuesToMatchRegex(column="answer", regex=r"\S"),
        gxe.ExpectColumnValuesToBeBetween(column="question_chars", min_value=1, max_value=config.max_question_chars),
        gxe.ExpectColumnValuesToBeBetween(column="answer_chars", min_value=1, max_value=config.max_answer_chars),
    ]


def _gradable(**more: Any) -> Expectation:
    return _none("gold_fault", "the gold answer can be graded against, all of it", **more)


def _none(column: str, notes: str, **more: Any) -> Expectation:
    return gxe.ExpectColumnValuesToBeNull(column=column, notes=notes, **more)


def _true(column: str, notes: str, **more: Any) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[True], notes=notes, **more)
