"""Run expectations over tables in an ephemeral context. Imports Great Expectations: import it when a check runs."""

from __future__ import annotations

import datetime
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import great_expectations as gx
import pandas as pd
from great_expectations.core.run_identifier import RunIdentifier

from relayllm.validation import docs as data_docs
from relayllm.validation.results import ExpectationResult

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.datasource.fluent import PandasDatasource
    from great_expectations.expectations.expectation import Expectation
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

RUN = RunIdentifier("validate", datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC))
"""The same for every run, so that the Data Docs of the same data are the same bytes."""


@dataclass(frozen=True)
class Check:
    """A table and what is expected of it. The table has a column `id` that names its rows."""

    name: str
    frame: pd.DataFrame
    expectations: list[Expectation]


def run(checks: Sequence[Check], docs: Path | None = None, counted: Sequence[ExpectationResult] = ()
        ) -> list[ExpectationResult]:
    """Run every check; write the Data Docs, with what was counted elsewhere, to a folder when one is given."""
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        if docs is not None:
            data_docs.add_site(context, docs)
        source = context.data_sources.add_pandas("data")
        results = [each for check in checks for each in _run_one(context, source, check)]
        results.extend(counted)
        if docs is not None:
            data_docs.build(context, docs, results)
    return results


def _run_one(context: EphemeralDataContext, source: PandasDatasource, check: Check) -> list[ExpectationResult]:
    batch = source.add_dataframe_asset(check.name).add_batch_definition_whole_dataframe("all")
    suite = context.suites.add(gx.ExpectationSuite(check.name, expectations=check.expectations))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=check.name, data=batch, suite=suite))
    result = definition.run(
        batch_parameters={"dataframe": check.frame}, run_id=RUN,
        result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["id"]})
    return [_result(check, each) for each in result.results]


def _result(check: Check, result: ExpectationValidationResult) -> ExpectationResult:
    config = result.expectation_config
    kwargs = {name: value for name, value in config.kwargs.items() if name not in ("batch_id", "condition_parser")}
    arguments = ", ".join(_argument(name, value) for name, value in kwargs.items()
                          if name != "column" and value is not None)
    column = str(kwargs.get("column", ""))
    name = config.type.removeprefix("expect_").replace("_", " ")
    notes = f" ({config.notes})" if isinstance(config.notes, str) else ""
    caught = {} if result.success else result.exception_info or {}
    observed = result.result.get("observed_value", caught.get("exception_message", "every row"))
    return ExpectationResult(
        check=check.name, passed=bool(result.success), critical=str(_severity(config)) == "critical",
        expectation=" ".join(filter(None, [column, name, arguments])) + notes, column=column, observed=str(observed),
        offending=() if result.success else _offending(result.result, column))


def _argument(name: str, value: object) -> str:
    """An argument of an expectation as a message shows it; a condition comes wrapped in a mapping."""
    condition = value.get("pass_through_filter") if isinstance(value, dict) else None
    return f"where {condition}" if condition else f"{name} {value}"


def _severity(config: ExpectationConfiguration) -> str:
    severity = getattr(config, "severity", None)
    return getattr(severity, "value", severity) or "critical"


def _offending(result: dict[str, Any], column: str) -> tuple[str, ...]:
    """Ids of the rows, each with the value that is not as expected."""
    rows = result.get("unexpected_index_list") or []
    return tuple(f"{row['id']}" if column == "id" else f"{row['id']} ({column}: {str(row.get(column))[:80]})"
                 for row in rows)
