"""The teacher's side: calls to a model in this process, and calls to a server."""

import pytest

from relayllm.errors import TeacherError
from relayllm.relay.batching import DynamicBatching
from relayllm.relay.protocols import CallRequest
from relayllm.relay.teacher import Delivery, LocalTeacher, RemoteTeacher
from tests.support.plain_relay import COMMANDS, NO_BATCHING, PlainEngine, new_row


def calling(n: int = 4, **options):
    """A row that has just asked for n tokens, and whose words the teacher has been told."""
    row = new_row(**options)
    for token in [*b"ab", *COMMANDS.write(n)]:
        row.student_wrote(token, None, False)
    row.teacher_pending += row.unsent
    return row


def advance(teacher, rows, writing=0) -> list[Delivery]:
    return [delivery for _, delivery in teacher.advance(rows, writing=writing)]


def test_local_teacher_writes_a_token_per_step_for_every_call():
    teacher, rows = LocalTeacher(PlainEngine("12"), NO_BATCHING), [calling(), calling()]
    for row in rows:
        teacher.begin(row)
    assert [delivery.tokens for delivery in advance(teacher, rows)] == [(ord("1"),), (ord("1"),)]
    assert [row.teacher_seconds for row in rows] == [0.125, 0.125]


def test_local_teacher_lets_calls_gather():
    teacher, row = LocalTeacher(PlainEngine("12"), DynamicBatching(0.5, max_queue_delay=2)), calling()
    teacher.begin(row)
    assert [len(advance(teacher, [row], writing=9)) for _ in range(3)] == [0, 0, 1]


def test_local_teacher_end_of_text_finishes_the_call():
    teacher, row = LocalTeacher(PlainEngine(""), NO_BATCHING), calling()
    teacher.begin(row)
    assert advance(teacher, [row])[0].finished


def test_local_teacher_counts_what_a_later_call_finds_in_its_cache():
    engine, row = PlainEngine("12"), calling()
    teacher = LocalTeacher(engine, NO_BATCHING)
    teacher.begin(row)
    advance(teacher, [row])
    teacher.begin(row)
    assert row.teacher_cached == len("Qab")
    teacher.release(row)
    assert engine.said == {}


def test_local_teacher_fault_ends_the_calls_of_its_batch_with_the_cause():
    fault = RuntimeError("out of memory")
    teacher, row = LocalTeacher(PlainEngine("12", fault=lambda: fault), NO_BATCHING), calling()
    teacher.begin(row)
    error = advance(teacher, [row])[0].error
    assert isinstance(error, TeacherError)
    assert error.__cause__ is fault


class Stream:
    """A call that a test answers."""

    def __init__(self) -> None:
        self.done = self.finished = False
        self.teacher = "far"
        self.error = None
        self.tokens: list[int] = []
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def take(self) -> list[int]:
        tokens, self.tokens = self.tokens, []
        return tokens


class Server:
    """Remembers what was asked."""

    up = True

    def __init__(self) -> None:
        self.asked: list[CallRequest] = []
        self.streams: list[Stream] = []

    def submit(self, request: CallRequest) -> Stream:
        self.asked.append(request)
        self.streams.append(Stream())
        return self.streams[-1]

    def wait(self, seconds: float) -> bool:
        return True

    def close(self) -> None:
        self.up = False


@pytest.fixture
def remote():
    server = Server()
    return RemoteTeacher(server), server


def test_remote_teacher_asks_for_the_view_and_says_where_the_answer_begins(remote):
    teacher, server = remote
    row = calling(n=6, teacher_temperature=0.5, enable_thinking=False)
    teacher.begin(row)
    request, = server.asked
    assert bytes(request.prompt_ids) == b"Qab"
    assert (request.n, request.temperature, request.answer_start, request.enable_thinking) == (6, 0.5, 1, False)


def test_remote_teacher_delivers_what_came_and_the_end(remote):
    teacher, server = remote
    row = calling()
    teacher.begin(row)
    assert advance(teacher, [row]) == []
    server.streams[0].tokens = [1, 2]
    assert advance(teacher, [row]) == [Delivery((1, 2))]
    server.streams[0].done = server.streams[0].finished = True
    assert advance(teacher, [row]) == [Delivery(finished=True, over=True)]


def test_remote_teacher_that_answers_nothing_has_failed(remote):
    teacher, server = remote
    row = calling()
    teacher.begin(row)
    server.streams[0].done = True
    assert isinstance(advance(teacher, [row])[0].error, TeacherError)


def test_remote_teacher_release_ends_a_running_request(remote):
    teacher, server = remote
    row = calling()
    teacher.begin(row)
    teacher.release(row)
    teacher.release(row)
    assert server.streams[0].cancelled


def test_remote_teacher_is_up_as_its_server_is(remote):
    teacher, _ = remote
    assert teacher.up
    teacher.close()
    assert not teacher.up
