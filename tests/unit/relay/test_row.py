"""A row: whose pen it is, what each model has still to read, and when it is over."""

import pytest

from relayllm.relay.command import ALL_DIGITS, CALL_BIT
from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.policy import Scripted
from relayllm.relay.row import Pen, Row
from relayllm.relay.trace import Author, StopReason
from tests.support.plain_relay import CALL, COMMANDS, END, EOS, new_row


def write(row, text: str) -> None:
    for token in text.encode():
        row.student_wrote(token, -1.0, False)


def command(row, n: int) -> None:
    for token in COMMANDS.write(n):
        row.student_wrote(token, -1.0, False)


def test_row_session_tells_prompts_of_one_seed_apart_and_is_the_same_for_the_same():
    assert new_row("a").key == new_row("b").key
    assert new_row("a").session != new_row("b").session
    assert new_row("a").session == new_row("a").session


def test_row_has_the_teachers_own_prompt_where_the_vocabularies_differ():
    request = GenerationRequest((1, 2), Options(), teacher_prompt_ids=(7, 8, 9))
    row = Row(request, COMMANDS, with_teacher=True)
    assert (row.student_pending, row.teacher_pending) == ([1, 2], [7, 8, 9])
    assert not Row(request, COMMANDS, with_teacher=False).may_call


def test_row_command_passes_the_pen_and_is_not_told():
    row = new_row()
    write(row, "ab")
    command(row, 12)
    assert (row.pen, row.teacher_left, row.position) == (Pen.TEACHER, 12, 6)
    assert [(call.position, call.requested, call.granted) for call in row.calls] == [(2, 12, 12)]
    assert bytes(row.unsent) == b"ab"
    assert row.authors == [Author.STUDENT] * 2 + [Author.COMMAND] * 4
    assert (row.student_tokens, row.command_tokens) == (2, 4)


def test_row_call_is_granted_what_the_budget_leaves():
    row = new_row(max_new_tokens=8)
    command(row, 99)
    assert row.calls[0].granted == 4


def test_row_teacher_tokens_are_for_the_student_to_read():
    row = new_row("prompt")
    assert bytes(row.take_pending()) == b"prompt"
    command(row, 2)
    row.teacher_wrote(b"xy", finished=False)
    row.hand_back()
    assert row.take_pending() == [*COMMANDS.write(2), *b"xy"]
    assert row.student_prefilled == len("prompt") + 2
    assert (row.pen, row.take_pending()) == (Pen.STUDENT, [])


@pytest.mark.parametrize(("finished", "stop"), [(True, StopReason.TEACHER_FINISHED), (False, None)])
def test_row_teacher_that_finishes_ends_the_answer(finished, stop):
    row = new_row()
    command(row, 9)
    row.teacher_wrote(b"xy", finished=finished)
    assert row.stop is stop


def test_row_teacher_writes_no_more_than_the_budget():
    row = new_row(max_new_tokens=6)
    command(row, 9)
    row.teacher_wrote(b"wxyz", finished=True)
    assert (bytes(row.ids[3:]), row.stop) == (b"wxy", StopReason.TOKEN_BUDGET)


def test_row_end_of_text_ends_it_outside_of_a_command():
    row = new_row()
    row.student_wrote(EOS, -1.0, True)
    assert row.stop is StopReason.FINISHED


def test_row_may_call_until_calls_tokens_or_the_teacher_are_spent():
    row = new_row(max_calls=1, max_new_tokens=12)
    assert row.mask().allowed == ALL_DIGITS | CALL_BIT
    command(row, 1)
    row.teacher_wrote(b"x", finished=False)
    row.hand_back()
    assert row.mask().allowed == ALL_DIGITS
    for spent in (new_row(max_new_tokens=3), new_row(max_calls=0), new_row(teacher_enabled=False)):
        assert not spent.may_call


def test_row_whose_teacher_failed_calls_no_more():
    row = new_row()
    command(row, 4)
    row.hand_back(failed=True)
    assert (row.degraded, row.may_call, row.calls[0].failed) == (True, False, True)


def test_row_inside_a_command_takes_digits_only():
    row = new_row(max_call_tokens=30)
    row.student_wrote(CALL, -1.0, False)
    assert row.mask().inside
    assert row.mask().allowed == ALL_DIGITS & ~1
    row.student_wrote(COMMANDS.digits[3], -1.0, False)
    assert row.mask().allowed == 1 | 1 << COMMANDS.columns.index(END)


@pytest.mark.parametrize("written", [True, False])
def test_row_call_by_a_rule_is_written_where_the_rule_writes(written):
    policy = Scripted(script={})
    object.__setattr__(policy, "written", written)
    row = new_row(policy=policy)
    write(row, "ab")
    row.force_call(7)
    assert row.ids[2:] == (COMMANDS.write(7) if written else [])
    assert (row.pen, row.teacher_left) == (Pen.TEACHER, 7)


def test_row_call_by_a_rule_that_does_not_fit_is_left():
    row = new_row(max_new_tokens=3, policy=Scripted(script={}))
    row.force_call(7)
    assert (row.pen, row.ids) == (Pen.STUDENT, [])


def test_row_scores_of_the_teachers_tokens_settle_them():
    row = new_row(score_teacher=True)
    row.take_pending()
    command(row, 2)
    row.teacher_wrote(b"xy", finished=False)
    row.hand_back()
    assert (row.settled, row.position, row.to_score) == (3, 5, 2)
    row.take_scores([-2.0, -3.0])
    assert row.logprobs[3:] == [-2.0, -3.0]
    assert row.settled == 5


def test_row_tells_of_every_call_what_the_teacher_read_for_it():
    row = new_row()
    for fresh, cached in ((7, 0), (2, 9)):
        command(row, 1)
        row.teacher_prefilled += fresh
        row.teacher_cached += cached
        row.teacher_wrote(b"x", finished=False)
        row.hand_back()
    assert [(call.read, call.cached) for call in row.calls] == [(7, 0), (2, 9)]
    assert (row.degraded, row.pen) == (False, Pen.STUDENT)


@pytest.mark.parametrize(("scored", "waiting"), [(True, 2), (False, 0)])
def test_row_first_pending_token_has_none_before_it_that_scores_it(scored, waiting):
    row = new_row(score_teacher=scored)
    row.take_pending()
    command(row, 2)
    row.take_pending()
    row.teacher_wrote(b"xyz", finished=False)
    assert row.to_score == waiting
