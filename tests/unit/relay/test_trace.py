"""The record of a completion: its ratio, and what its ledger adds up to."""

import pytest

from relayllm.relay.trace import Author, Call, Ledger, Segment, StopReason, Trace


def trace(**more) -> Trace:
    given = {"prompt_ids": (1,), "token_ids": (1, 2, 3, 4), "authors": (Author.STUDENT,) * 4, "logprobs": (None,) * 4,
             "calls": (), "ledger": Ledger(), "stop_reason": StopReason.FINISHED, "text": ""}
    return Trace(**{**given, **more})


def test_call_ratio_is_delivered_tokens_by_completion_tokens():
    assert trace(ledger=Ledger(student_tokens=1, command_tokens=2, teacher_tokens=1)).call_ratio == 0.25
    assert trace(token_ids=()).call_ratio == 0.0


def test_called_is_read_off_the_commands():
    assert not trace().called
    assert trace(calls=(Call(0, 3, 0, 0),)).called


def test_truncated_is_the_token_budget_alone():
    assert trace(stop_reason=StopReason.TOKEN_BUDGET).truncated
    others = set(StopReason) - {StopReason.TOKEN_BUDGET}
    assert not any(trace(stop_reason=reason).truncated for reason in others)


def test_ledger_completion_tokens_are_all_that_was_written():
    assert Ledger(student_tokens=5, command_tokens=3, teacher_tokens=2, student_prefilled=9).completion_tokens == 10


def test_segment_knows_its_length():
    assert Segment(Author.TEACHER, 3, 8).tokens == 5


@pytest.mark.parametrize(("calls", "degraded", "by"), [
    ([], False, []), ([Call(0, 2, 2, 2)], False, []), ([Call(0, 2, 2, 0, failed=True)], True, ["teacher"]),
    ([Call(0, 2, 2, 0, failed=True, refused=True)], True, ["policy"]), ([], True, ["teacher"]),
    ([Call(0, 2, 2, 0, failed=True, refused=True), Call(5, 2, 2, 0, failed=True)], True, ["policy", "teacher"])])
def test_trace_names_who_withheld_help_call_by_call(calls, degraded, by):
    assert trace(calls=tuple(calls), degraded=degraded).degraded_by == by
