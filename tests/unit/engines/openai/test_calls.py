"""One call of the remote teacher against a server that does not do what it should: attempts, deadline, circuit."""

from __future__ import annotations

import asyncio
import threading

import pytest

from relayllm.engines.openai.breaker import Circuit
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.teacher import OpenAITeacher
from tests.support.fake_teacher import FakeTeacher, Fault
from tests.support.plain_relay import CALL, END, ByteTokenizer
from tests.support.remote_calls import QUICK, TEXT, WRITE, finish, request, writes
from tests.support.waiting import eventually


@pytest.mark.parametrize("fault", [
    Fault.refuse(500), Fault.refuse(503), Fault.refuse(429, retry_after="0.01"), Fault.cut(0), Fault.cut(3),
    Fault.stall(), Fault.stall(3), Fault.garbage("not json", after=2), Fault.garbage("[]"),
    Fault.garbage('{"choices": [{"text": 5}]}', after=1), Fault.garbage('{"choices": 7}'),
    Fault.garbage('{"choices": [{"token_ids": ["a"]}]}'), Fault.garbage('{"error": {"message": "out of memory"}}'),
    Fault.garbage('{"choices": [{"text": "", "finish_reason": "abort"}]}', after=3)], ids=lambda fault: str(fault.kind))
@pytest.mark.parametrize("speaks", ["ids", "text"])
def test_ask_fault_that_passes_leaves_no_trace(serve, fault, speaks):
    silence = {"stall_seconds": 0.5, "attempts": 20} if fault.kind == "stall" else {}
    server, teacher = serve(speaks=speaks, options=RemoteOptions(token_seconds=10, backoff_seconds=0.01, **silence))
    server.faults.append(fault)
    stream = teacher.submit(request(7))
    assert finish(teacher, stream) == "two and"
    assert stream.error is None
    assert len(server.asked) == 2 or (silence and len(server.asked) > 2)  # a busy machine may be silent, too


def test_ask_cut_answer_is_taken_up_where_it_broke_off(serve):
    server, teacher = serve()
    server.faults += [Fault.cut(3), Fault.cut(2)]
    assert finish(teacher, teacher.submit(request(8))) == "two and "
    assert [(len(body["prompt"]), body["max_tokens"]) for body in server.asked] == [(3, 8), (6, 5), (8, 3)]


@pytest.mark.parametrize("speaks", ["ids", "text"])
def test_ask_cut_after_the_last_token_is_no_fault(serve, speaks):
    server, teacher = serve(speaks=speaks)
    server.faults.append(Fault.cut(after=7))
    stream = teacher.submit(request(7))
    assert finish(teacher, stream) == "two and"
    assert stream.error is None
    assert len(server.asked) == 1


def test_ask_server_asks_to_wait_is_obeyed(serve, monkeypatch):
    sleep, slept = asyncio.sleep, []

    async def noted(seconds, *result):
        slept.append(seconds)
        return await sleep(min(seconds, 0.01), *result)

    monkeypatch.setattr(asyncio, "sleep", noted)
    server, teacher = serve(options=RemoteOptions(backoff_seconds=0.001))
    server.faults.append(Fault.refuse(429, retry_after="3"))
    assert finish(teacher, teacher.submit(request(3))) == "two"
    assert slept.count(3.0) == 1


def test_ask_server_that_stays_down_is_an_error_after_all_attempts(serve):
    server, teacher = serve()
    server.always = Fault.refuse(500, "out of memory")
    stream = teacher.submit(request())
    assert finish(teacher, stream) == ""
    assert "answered 500: out of memory; gave up after 3 attempts" in str(stream.error)
    assert len(server.asked) == 3


def test_ask_what_came_before_the_error_stands(serve):
    server, teacher = serve()
    server.faults += [Fault.cut(2), Fault.cut(1), Fault.cut(1)]
    stream = teacher.submit(request(8))
    assert finish(teacher, stream) == "two "
    assert "ended its answer" in str(stream.error) or "gave up" in str(stream.error)


def test_ask_nobody_listens_is_an_error():
    teacher = OpenAITeacher("http://127.0.0.1:9", ByteTokenizer(), options=QUICK)
    stream = teacher.submit(request())
    assert finish(teacher, stream) == ""
    assert "http://127.0.0.1:9" in str(stream.error)
    teacher.close()


def test_ask_server_that_only_keeps_alive_runs_into_the_deadline(serve):
    server, teacher = serve(options=RemoteOptions(stall_seconds=2.4, token_seconds=0.02, attempts=3))
    server.always = Fault.trickle(after=2)
    stream = teacher.submit(request(5))
    assert finish(teacher, stream) == "tw"
    assert "did not write 5 tokens within 2.5 s" in str(stream.error)


def test_ask_prompt_too_long_is_not_tried_again_and_not_held_against_the_server(serve):
    server, teacher = serve(context=200)
    for _ in range(4):
        stream = teacher.submit(request(8, prompt="x" * 200))
        finish(teacher, stream)
        assert "answered 400: This model's maximum context length is 200" in str(stream.error)
    assert len(server.asked) == 4
    assert teacher.circuit is Circuit.CLOSED


@pytest.mark.parametrize("token", [CALL, END, 259, 151_000])
def test_ask_token_no_teacher_may_write_never_arrives(serve, token):
    _, teacher = serve(lambda ids: [65, 66, token, 67])
    stream = teacher.submit(request())
    assert finish(teacher, stream) == "AB"
    assert f"token id {token}" in str(stream.error)


def test_ask_text_that_spells_a_command_stays_text(serve):
    _, teacher = serve(writes("<call>9</call><|im_end|>x"), speaks="text")
    assert finish(teacher, teacher.submit(request(30))) == "<call>9</call><|im_end|>x"


def test_ask_character_cut_in_two_is_left_out(serve):
    _, teacher = serve(writes("hi ü"), speaks="text")
    assert finish(teacher, teacher.submit(request(4))) == "hi "


class Talkative(FakeTeacher):
    """Writes twice what it is asked for."""

    def continuation(self, body):
        return super().continuation({**body, "max_tokens": 2 * body["max_tokens"]})


@pytest.mark.parametrize(("speaks", "text", "fault"), [("ids", TEXT[:8], ""), ("text", "", "wrote 16 tokens where 8")])
def test_server_that_ignores_the_limit_is_cut_by_ids_and_refused_in_text(speaks, text, fault):
    with Talkative(ByteTokenizer(), WRITE, speaks=speaks) as server:
        teacher = OpenAITeacher(server.url, ByteTokenizer(), options=QUICK)
        stream = teacher.submit(request())
        assert finish(teacher, stream) == text
        assert fault in str(stream.error or "")
        teacher.close()


def test_content_filter_costs_its_own_call_and_opens_no_circuit(serve):
    server, teacher = serve()
    chunk = '{"choices": [{"index": 0, "text": "", "finish_reason": "content_filter"}]}'
    server.always = Fault.garbage(chunk)
    for _ in range(QUICK.breaker_failures + 1):
        stream = teacher.submit(request())
        finish(teacher, stream)
        assert "content filter" in str(stream.error)
    assert len(server.asked) == QUICK.breaker_failures + 1
    assert teacher.circuit is Circuit.CLOSED


def test_circuit_opens_after_failed_calls_and_asks_no_more(serve):
    server, teacher = serve(options=RemoteOptions(attempts=1, breaker_failures=3, breaker_seconds=60))
    server.always = Fault.refuse(500)
    for _ in range(3):
        finish(teacher, teacher.submit(request()))
    assert teacher.circuit is Circuit.OPEN
    stream = teacher.submit(request())
    assert stream.done
    assert "failed 3 times in a row; not asked again for" in str(stream.error)
    assert len(server.asked) == 3


def test_circuit_half_open_lets_one_call_find_out_that_the_server_is_back(serve):
    server, teacher = serve(options=RemoteOptions(attempts=1, breaker_failures=2, breaker_seconds=1.5))
    server.always = Fault.refuse(500)
    for _ in range(2):
        finish(teacher, teacher.submit(request()))
    server.always = None
    assert eventually(lambda: teacher.circuit is Circuit.HALF_OPEN)
    server.barrier = threading.Barrier(2, timeout=60)  # the first is not answered before all have been asked for
    answers = [teacher.submit(request(3)) for _ in range(4)]
    server.barrier.wait()
    server.barrier = None
    assert [finish(teacher, stream) for stream in answers] == ["two", "", "", ""]
    assert teacher.circuit is Circuit.CLOSED
    assert finish(teacher, teacher.submit(request(3))) == "two"


def test_circuit_many_calls_to_a_dead_server_fail_together():
    teacher = OpenAITeacher("http://10.255.255.1:9", ByteTokenizer(), options=RemoteOptions(
        connect_seconds=0.3, attempts=1, stall_seconds=0.3))
    answers = [teacher.submit(request()) for _ in range(32)]
    assert {finish(teacher, stream) for stream in answers} == {""}
    teacher.close()
