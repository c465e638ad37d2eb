"""A row in a slot: what it asks of the student, and how a stop string ends it."""

from relayllm.relay.command import ALL_DIGITS, CALL_BIT
from relayllm.relay.row import Pen
from relayllm.relay.running import RunningRow
from relayllm.relay.trace import StopReason
from tests.support.plain_relay import COMMANDS, ByteTokenizer, new_row


def running(row, listener=None) -> RunningRow:
    return RunningRow.start(1, row, 5, ByteTokenizer(), listener)


def test_step_input_is_what_the_row_has_to_read_and_may_write():
    row = new_row("Q", temperature=0.5, top_p=0.9, call_bias=1.0, top_logprobs=2)
    item = running(row).step_input()
    assert (item.row, item.token_ids, item.allowed, item.inside) == (5, list(b"Q"), ALL_DIGITS | CALL_BIT, False)
    assert (item.temperature, item.top_p, item.call_bias, item.top) == (0.5, 0.9, 1.0, 2)
    assert 0 < item.draw < 1
    assert running(new_row()).step_input().draw == 0.0


def test_stop_string_in_the_teachers_words_takes_the_pen_back():
    row = new_row(stop=("END",))
    one = running(row)
    for token in COMMANDS.write(9):
        row.student_wrote(token, None, False)
    row.teacher_wrote(b"a END b", finished=False)
    one.written()
    assert (row.stop, row.pen) == (StopReason.STOP_STRING, Pen.STUDENT)


def test_stop_string_leaves_a_cancelled_row_cancelled():
    row = new_row(stop=("a",))
    one = running(row)
    row.student_wrote(ord("a"), None, False)
    row.stop = StopReason.CANCELLED
    one.written()
    assert row.stop is StopReason.CANCELLED
