"""The checks that the filter and the warm-up set stages call."""

from __future__ import annotations

import pytest

from relayllm.errors import DataError
from relayllm.relay.command import CommandTokens
from relayllm.validation.checks import check_filter, check_warmup_set

TOKENS = CommandTokens(call=10, end=11, digits=tuple(range(10)))


def rows(*completions: list[int]) -> list[dict]:
    return [{"problem_id": f"p{n}", "prompt_ids": [20, 21], "completion_ids": ids} for n, ids in enumerate(completions)]


def test_check_warmup_set_well_formed_commands_pass() -> None:
    check_warmup_set(rows([20, 10, 1, 2, 11, 21], [20, 1, 0]), TOKENS)


@pytest.mark.parametrize(("ids", "said"), [
    ([20, 10, 11], r"row 1 \(p1\) \(fault: token 2 breaks a command"),
    ([20, 10, 0, 5, 11], "token 2 breaks a command"),
    ([20, 10, 5, 20], "token 3 breaks a command"),
    ([20, 10, 5], "no `</call>`"),
    ([20, 11], "without `<call>`"),
    ([], "completion_tokens .*row 1"),
])
def test_check_warmup_set_malformed_command_is_named(ids: list[int], said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_warmup_set(rows([20, 10, 1, 11], ids), TOKENS)


def test_check_warmup_set_without_any_call_fails() -> None:
    with pytest.raises(DataError, match="at least one completion has a call"):
        check_warmup_set(rows([20, 21]), TOKENS)


def test_check_filter_some_kept_passes() -> None:
    check_filter(["a", "b", "c"], [0.0, 0.4, 0.6], 0.5)


@pytest.mark.parametrize(("ids", "rates", "said"), [
    (["a", "b"], [0.1, 0.2], r"pass_rate .*at least one problem .*0\.2"),
    (["a", "b"], [0.6, 1.2], r"pass_rate .*b \(pass_rate: 1\.2\)"),
    (["a", "a"], [0.6, 0.7], r"id .*unique"),
])
def test_check_filter_odd_rates_are_named(ids: list[str], rates: list[float], said: str) -> None:
    with pytest.raises(DataError, match=said):
        check_filter(ids, rates, 0.5)
