"""Sessions of plain models: who gets a slot, who writes, and what an answer is made of."""

import pytest

from relayllm.relay.policy import EntropyThreshold, Scripted
from relayllm.relay.trace import Author, StopReason
from relayllm.relay.vocabulary import TranslatedVocabulary
from tests.support.plain_relay import ByteTokenizer, OtherTokenizer, PlainEngine, SpacedTokenizer, ask, new_session, run

LINES = "3 x 4 = <call>2</call>, done."


def test_session_relay_writes_both_models_words_in_order():
    student, teacher = PlainEngine(LINES), PlainEngine("12")
    session = new_session(student, teacher)
    session.submit(ask())
    trace, = run(session).values()
    assert trace.text == "3 x 4 = 12, done."
    assert [(segment.author, trace.text[segment.text_start:segment.text_stop]) for segment in trace.segments] == [
        (Author.STUDENT, "3 x 4 = "), (Author.COMMAND, ""), (Author.TEACHER, "12"), (Author.STUDENT, ", done.")]
    assert (trace.ledger.student_tokens, trace.ledger.command_tokens, trace.ledger.teacher_tokens) == (16, 3, 2)


def test_session_models_read_what_the_other_wrote_and_nothing_twice():
    student, teacher = PlainEngine(LINES), PlainEngine("12")
    session = new_session(student, teacher)
    session.submit(ask("Q"))
    trace, = run(session).values()
    assert student.read[1] == [*b"Q", *trace.token_ids[:-1]]
    assert bytes(teacher.read[1]) == b"Q3 x 4 = 1"
    assert (trace.ledger.student_prefilled, trace.ledger.teacher_prefilled) == (1 + 2, len("Q3 x 4 = "))


def test_session_has_no_more_rows_than_slots():
    session = new_session(PlainEngine("ab"), slots=2)
    handles = [session.submit(ask(row=row)) for row in range(5)]
    assert (session.waiting, session.running) == (5, 0)
    session.step()
    assert (session.waiting, session.running) == (3, 2)
    assert session.row(handles[0]) is not None
    assert session.row(handles[4]) is None
    assert run(session).keys() == set(handles)


def test_session_rows_come_out_when_they_are_done():
    session = new_session(PlainEngine("abcdef"))
    long, short = session.submit(ask(max_new_tokens=6)), session.submit(ask(max_new_tokens=2))
    done = []
    while session.busy:
        done += [found.handle for found in session.step()]
    assert done == [short, long]


def test_session_cancelled_row_keeps_what_it_wrote():
    session = new_session(PlainEngine("abcdef"), slots=1)
    first, second = session.submit(ask()), session.submit(ask())
    session.step()
    session.cancel(first)
    session.cancel(second)
    traces = run(session)
    assert traces.keys() == {first}
    assert (traces[first].text[:1], traces[first].stop_reason) == ("a", StopReason.CANCELLED)


@pytest.mark.parametrize("forward", [1, 2])
def test_session_teacher_that_fails_leaves_the_student_alone(forward):
    faults = iter([None] * (forward - 1) + [RuntimeError("out of memory")])
    session = new_session(PlainEngine(LINES), PlainEngine("12", fault=lambda: next(faults, None)))
    session.submit(ask())
    trace, = run(session).values()
    assert trace.degraded
    assert trace.text == f"3 x 4 = {'12'[:forward - 1]}, done."
    assert trace.calls[0].failed


def test_session_rules_call_where_they_say():
    student, teacher = PlainEngine("abcdef"), PlainEngine("12")
    session = new_session(student, teacher)
    session.submit(ask(policy=Scripted(script={0: [(2, 2)]})))
    session.submit(ask(policy=EntropyThreshold(threshold=1.0, n=1), max_calls=1))
    scripted, unsure = run(session).values()
    assert scripted.text == "ab12cdef"
    assert unsure.text.startswith("1")


def test_session_teacher_that_finishes_ends_the_answer():
    session = new_session(PlainEngine("a<call>9</call>b"), PlainEngine("12"))
    session.submit(ask())
    trace, = run(session).values()
    assert (trace.text, trace.stop_reason) == ("a12", StopReason.TEACHER_FINISHED)


@pytest.mark.parametrize("kind", [OtherTokenizer, SpacedTokenizer])
def test_session_of_two_vocabularies_keeps_the_text_at_every_seam(kind):
    theirs = kind()
    teacher = PlainEngine(" and 12", tokenizer=theirs)
    size = len(theirs.encode(" and 12"))
    session = new_session(PlainEngine(f"it is<call>{size}</call> then"), teacher,
                          vocabulary=TranslatedVocabulary(ByteTokenizer(), theirs))
    session.submit(ask())
    trace, = run(session).values()
    assert trace.text.replace("  ", " ") == "it is and 12 then"
    assert theirs.decode(teacher.read[1][1:]).startswith("it is")
