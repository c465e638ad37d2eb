"""The remote teacher against a server that does what it should."""

from __future__ import annotations

import threading

import pytest

from relayllm.engines.openai.options import RemoteOptions
from relayllm.errors import TeacherError
from tests.support.fake_teacher import Fault
from tests.support.remote_calls import finish, request, writes


@pytest.mark.parametrize("speaks", ["ids", "ids-without-answer", "text"])
def test_ask_delivers_n_tokens_whatever_the_server_speaks(serve, speaks):
    server, teacher = serve(speaks=speaks)
    stream = teacher.submit(request(7))
    assert finish(teacher, stream) == "two and"
    assert (stream.error, stream.finished) == (None, False)
    assert teacher.verify().uses_ids is (speaks == "ids")
    assert server.asked[0]["prompt"] == (list(b"Q: ") if speaks == "ids" else "Q: ")


@pytest.mark.parametrize("speaks", ["ids", "text"])
def test_ask_end_of_text_is_told_and_left_out(serve, speaks):
    _, teacher = serve(writes("four", end=True), speaks=speaks)
    stream = teacher.submit(request(20))
    assert finish(teacher, stream) == "four"
    assert stream.finished
    assert stream.error is None


def test_ask_end_of_text_behind_the_last_token_is_not_reached(serve):
    _, teacher = serve(writes("four", end=True))
    stream = teacher.submit(request(4))
    assert finish(teacher, stream) == "four"
    assert not stream.finished


def test_ask_sampling_options_reach_the_server(serve):
    server, teacher = serve()
    finish(teacher, teacher.submit(request(3, temperature=0.7, top_p=0.9, seed=2**40 + 5)))
    body = server.asked[0]
    assert (body["temperature"], body["top_p"], body["seed"], body["max_tokens"]) == (0.7, 0.9, 5, 3)


def test_ask_tokens_arrive_one_by_one(serve):
    server, teacher = serve(options=RemoteOptions())
    server.token_seconds = 0.05
    stream = teacher.submit(request(10))
    while not (first := stream.take()):
        teacher.wait(0.02)
    assert not stream.done
    assert len(first) < 10


def test_ask_many_at_once_none_waits_for_another(serve):
    server, teacher = serve(options=RemoteOptions())
    teacher.verify()
    server.barrier = threading.Barrier(16, timeout=60)  # no answer begins before all have been asked for
    answers = [teacher.submit(request(6)) for _ in range(16)]
    assert [finish(teacher, stream) for stream in answers] == ["two an"] * 16


def test_ask_in_turn_reuses_one_connection(serve):
    server, teacher = serve()
    for _ in range(6):
        finish(teacher, teacher.submit(request(3)))
    assert server.connections == 1


def test_ask_usage_tells_what_the_server_had_cached(serve):
    _, teacher = serve()
    stream = teacher.submit(request(3))
    finish(teacher, stream)
    assert (stream.usage.prompt_tokens, stream.usage.cached_tokens) == (3, 3)


def test_cancel_ends_the_request_at_the_server(serve):
    server, teacher = serve(options=RemoteOptions())
    server.faults.append(Fault.stall(after=2))
    stream = teacher.submit(request())
    while not stream.take():
        teacher.wait(0.02)
    stream.cancel()
    assert stream.done
    assert stream.error is None
    assert server.abandoned.wait(60)


def test_close_ends_calls_that_are_under_way(serve):
    server, teacher = serve(options=RemoteOptions())
    server.faults.append(Fault.stall())
    stream = teacher.submit(request())
    teacher.close()
    assert stream.done
    assert isinstance(stream.error, TeacherError)
    assert "was closed" in str(teacher.submit(request()).error)


def test_close_from_several_threads_ends_once(serve):
    _, teacher = serve(options=RemoteOptions())
    threads = [threading.Thread(target=teacher.close, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
