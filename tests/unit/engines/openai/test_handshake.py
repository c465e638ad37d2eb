"""Handshake: which model a server answers with, which key it wants, to which address it has moved."""

from __future__ import annotations

import pytest

from relayllm.errors import TeacherError
from tests.support.fake_teacher import Fault
from tests.support.remote_calls import finish, request


def test_ask_another_model_than_expected_is_an_error_that_names_both(serve):
    server, teacher = serve(expected="Qwen3-8B", model="Qwen3-4B")
    stream = teacher.submit(request())
    assert finish(teacher, stream) == ""
    assert server.bodies == []
    assert "serves 'Qwen3-4B', expected 'Qwen3-8B'" in str(stream.error)
    with pytest.raises(TeacherError, match="start the right server"):
        teacher.verify()


def test_ask_server_replaced_meanwhile_is_refused_then_met_anew(serve):
    server, teacher = serve()
    finish(teacher, teacher.submit(request()))
    server.model = "other"
    refused = teacher.submit(request())
    assert finish(teacher, refused) == ""
    assert "does not exist" in str(refused.error)
    assert finish(teacher, teacher.submit(request(3))) == "two"
    assert server.asked[-1]["model"] == "other"


def test_ask_answer_in_the_name_of_another_model_is_refused(serve):
    server, teacher = serve()
    server.faults.append(Fault.garbage('{"model": "tiny", "choices": [{"text": "x", "token_ids": [120]}]}'))
    stream = teacher.submit(request())
    assert finish(teacher, stream) == ""
    assert "answers as 'tiny', asked for 'big'" in str(stream.error)


def test_server_down_at_the_first_call_is_met_at_a_later_one(serve):
    server, teacher = serve(key="sesame", api_key="wrong")
    assert finish(teacher, teacher.submit(request())) == ""
    server.key = None
    assert finish(teacher, teacher.submit(request(3))) == "two"


def test_key_comes_from_the_environment(serve, monkeypatch):
    monkeypatch.setenv("RELAY_TEACHER_API_KEY", "sesame")
    _, teacher = serve(key="sesame")
    assert finish(teacher, teacher.submit(request(3))) == "two"


def test_key_missing_is_an_error_that_says_where_to_put_it(serve, monkeypatch):
    monkeypatch.delenv("RELAY_TEACHER_API_KEY", raising=False)
    server, teacher = serve(key="sesame")
    with pytest.raises(TeacherError, match=r"401.*RELAY_TEACHER_API_KEY"):
        teacher.verify()
    assert "sesame" not in str(teacher.submit(request()).error)
    assert server.bodies == []


def test_server_that_has_moved_is_named_with_where_to(serve):
    server, teacher = serve()
    server.always = Fault.refuse(308, location="https://elsewhere/v1/completions")
    stream = teacher.submit(request())
    finish(teacher, stream)
    assert "it points to https://elsewhere/v1/completions: give that address" in str(stream.error)
