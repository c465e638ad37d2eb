"""A running batch whose student is a server: hand-overs, commands that are parsed again, faults, cancellation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relayllm.errors import ConfigError, StudentError
from relayllm.relay.options import GenerationRequest
from relayllm.relay.policy import EntropyThreshold, Scripted
from relayllm.relay.protocols import Usage
from relayllm.relay.remote_session import RemoteSession
from relayllm.relay.scheduler import Finished
from relayllm.relay.teacher import LocalTeacher
from relayllm.relay.trace import Author, StopReason
from relayllm.relay.vocabulary import SharedVocabulary
from tests.support.plain_relay import (
    COMMANDS,
    NO_BATCHING,
    ByteTokenizer,
    PlainEngine,
    PlainSegment,
    PlainStudent,
    ask,
)

END = "<|im_end|>"


def remote_session(student: PlainStudent, teacher: str | PlainEngine | None = "12", **more: bool) -> RemoteSession:
    engine = PlainEngine(teacher) if isinstance(teacher, str) else teacher
    side = None if engine is None else LocalTeacher(engine, NO_BATCHING)
    return RemoteSession(student, side, SharedVocabulary(), ByteTokenizer(), COMMANDS, 4, **more)


def finish(session: RemoteSession, *requests: GenerationRequest) -> list[Finished]:
    """What becomes of the requests, in their order."""
    for request in requests:
        session.submit(request)
    done = []
    while session.busy:
        done += session.step()
    return sorted(done, key=lambda found: found.handle)


def test_remote_session_asks_for_each_segment_after_the_call_before_it():
    student = PlainStudent(PlainSegment("a<call>2", "</call>"), PlainSegment("b<call>1</call>"),
                           PlainSegment(f"c{END}"))
    [found] = finish(remote_session(student, "123"), ask(max_calls=3))
    assert student.asked == [("Q", 3), ("Qa<call>2</call>12", 2), ("Qa<call>2</call>12b<call>1</call>3", 1)]
    assert (found.trace.text, found.trace.stop_reason) == ("a12b3c", StopReason.FINISHED)
    assert [(call.position, call.requested, call.delivered) for call in found.trace.calls] == [(1, 2, 2), (7, 1, 1)]
    assert len(set(student.seeds)) == 3


def test_remote_session_asks_with_the_same_seeds_for_the_same_request():
    seeds = []
    for _ in range(2):
        student = PlainStudent(PlainSegment("a<call>2</call>"), PlainSegment(END))
        finish(remote_session(student), replace(ask(temperature=1.0), seed=7))
        seeds.append(student.seeds)
    assert seeds[0] == seeds[1]


def test_remote_session_row_does_not_wait_for_another():
    session = remote_session(PlainStudent(PlainSegment("", "", "", f"a{END}"), PlainSegment(f"b{END}")))
    late, early = (session.submit(ask()) for _ in range(2))
    order = []
    while session.busy:
        order += [found.handle for found in session.step()]
    assert order == [early, late]


def test_remote_session_leaves_out_what_a_server_writes_beyond_a_command():
    segment = PlainSegment("a<call>2</call>beyond")
    [found] = finish(remote_session(PlainStudent(segment, PlainSegment(END))), ask())
    assert found.trace.text == "a12"
    assert not segment.cancelled  # the command ends it anyhow


@pytest.mark.parametrize("runs", [("abcd", "never"), ("ab", "never")])
def test_remote_session_rule_takes_the_pen_in_the_midst_of_a_segment(runs):
    segment = PlainSegment(*runs)
    student = PlainStudent(segment, PlainSegment(f"e{END}"))
    [found] = finish(remote_session(student), ask(policy=Scripted(script={0: [(2, 2)]})))
    assert found.trace.text == "ab12e"
    assert segment.cancelled
    assert [calls for _, calls in student.asked] == [0, 0]


@pytest.mark.parametrize(("words", "fault"), [
    ("a</call>", "`</call>` without `<call>`"), ("a<call>x", "token id 120 inside a command"),
    ("a<call>0", "token id 48 inside a command"), ("a<call></call>", "token id 258 inside a command"),
    ("a<call><call>", "token id 257 inside a command")])
def test_remote_session_refuses_what_the_grammar_forbids(words, fault):
    student = PlainStudent(PlainSegment(words, "more"))
    [found] = finish(remote_session(student), ask())
    assert isinstance(found.error, StudentError)
    assert f"student far wrote {fault}" in str(found.error)
    assert found.trace.stop_reason is StopReason.CANCELLED
    assert found.trace.calls == ()
    assert student.rows == set()


def test_remote_session_refuses_a_call_beyond_those_allowed():
    student = PlainStudent(PlainSegment("a<call>2</call>"), PlainSegment("b<call>"))
    [found] = finish(remote_session(student), ask(max_calls=1))
    assert [calls for _, calls in student.asked] == [1, 0]
    assert "`<call>` where none may begin" in str(found.error)
    assert found.trace.text == "a12b"


def test_remote_session_teacher_writes_the_rest_where_no_student_answers():
    broken = PlainSegment("ab", error=ConnectionError("gone"))
    [found] = finish(remote_session(PlainStudent(broken), "12"), ask())
    assert found.error is None
    assert (found.trace.text, found.trace.stop_reason) == ("ab12", StopReason.TEACHER_FINISHED)
    assert found.trace.degraded
    assert found.trace.authors.count(Author.TEACHER) == 3


@pytest.mark.parametrize(("teacher", "more"), [(None, {}), ("12", {"teacher_finishes": False})])
def test_remote_session_without_a_stand_in_ends_with_the_student_s_error(teacher, more):
    broken = PlainSegment("ab", error=ConnectionError("gone"))
    [found] = finish(remote_session(PlainStudent(broken), teacher, **more), ask())
    assert isinstance(found.error, StudentError)
    assert (str(found.error), found.trace.text) == ("gone", "ab")
    assert found.trace.stop_reason is StopReason.CANCELLED


def test_remote_session_fault_of_one_row_costs_the_others_nothing():
    student = PlainStudent(PlainSegment(error=ConnectionError("gone")), PlainSegment(f"fine{END}"))
    broken, fine = finish(remote_session(student, None), ask(), ask())
    assert str(broken.error) == "gone"
    assert (fine.error, fine.trace.text) == (None, "fine")


def test_remote_session_teacher_that_failed_is_no_stand_in_later():
    teacher = PlainEngine("12", fault=lambda: MemoryError("full"))
    student = PlainStudent(PlainSegment("a<call>2</call>"), PlainSegment("b", error=ConnectionError("gone")))
    [found] = finish(remote_session(student, teacher), ask())
    assert (str(found.error), found.trace.text) == ("gone", "ab")
    assert found.trace.degraded


def test_remote_session_cancelled_row_ends_its_request_and_keeps_what_came():
    segment = PlainSegment("ab", "", "cd")
    student = PlainStudent(segment)
    session = remote_session(student)
    handle = session.submit(ask())
    session.step()
    session.cancel(handle)
    [found] = session.step()
    assert segment.cancelled
    assert (found.trace.text, found.trace.stop_reason, found.error) == ("ab", StopReason.CANCELLED, None)
    assert student.rows == set()


def test_remote_session_counts_what_the_server_says_it_read():
    student = PlainStudent(PlainSegment("a<call>2</call>", usage=Usage(10, 0)), PlainSegment(END, usage=Usage(16, 12)))
    [found] = finish(remote_session(student), ask())
    assert (found.trace.ledger.student_cached, found.trace.ledger.student_reread) == (12, 14)


def test_remote_session_refuses_a_policy_that_reads_entropies():
    with pytest.raises(ConfigError, match=r"EntropyThreshold reads the entropy .* student in process"):
        remote_session(PlainStudent()).submit(ask(policy=EntropyThreshold(threshold=1.0, n=1)))
