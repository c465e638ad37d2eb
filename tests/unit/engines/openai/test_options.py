"""What the environment and an address say of a remote teacher."""

from __future__ import annotations

import pytest

from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.errors import ConfigError
from tests.support.plain_relay import ByteTokenizer
from tests.support.remote_calls import QUICK, TEXT, finish, request


def test_options_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("RELAY_TEACHER_STALL_SECONDS", "7.5")
    monkeypatch.setenv("RELAY_TEACHER_ATTEMPTS", "2")
    monkeypatch.setenv("RELAY_STUDENT_ATTEMPTS", "5")
    teacher, student = RemoteOptions.from_environment(), RemoteOptions.from_environment("student")
    assert (teacher.stall_seconds, teacher.attempts, teacher.connections) == (7.5, 2, 128)
    assert (student.stall_seconds, student.attempts, student.connections) == (30, 5, 128)


@pytest.mark.parametrize(("name", "value"), [("ATTEMPTS", "2.5"), ("STALL_SECONDS", "0"), ("STALL_SECONDS", "inf"),
                                             ("CONNECTIONS", "many"), ("MODE", "smoke-signals")])
def test_options_no_positive_number_is_an_error_that_names_the_variable(monkeypatch, name, value):
    monkeypatch.setenv(f"RELAY_TEACHER_{name}", value)
    with pytest.raises(ConfigError, match=f"RELAY_TEACHER_{name} is '{value}'"):
        OpenAITeacher("http://127.0.0.1:9", ByteTokenizer()).close()


@pytest.mark.parametrize("given", ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/",
                                   "http://h:1/v1/completions"])
def test_url_with_or_without_its_route_is_the_same(given):
    teacher = OpenAITeacher(given, ByteTokenizer())
    assert teacher.url == "http://h:1"
    teacher.close()


@pytest.mark.parametrize("given", ["localhost:8000", "ftp://h", "http://", "http://[", ""])
def test_url_that_is_none_is_an_error_that_says_so(given):
    with pytest.raises(ConfigError, match="is not the address of a server"):
        OpenAITeacher(given, ByteTokenizer())


def test_key_of_a_file_may_end_with_a_line_break(serve):
    _, teacher = serve(key="s3cret", api_key="s3cret\n")
    assert finish(teacher, teacher.submit(request())) == TEXT[:8]


@pytest.mark.parametrize("key", ["s3\ncret", "s3crét"])
def test_key_that_no_header_carries_is_refused_and_not_told(key):
    with pytest.raises(ConfigError, match="RELAY_TEACHER_API_KEY") as refusal:
        OpenAITeacher("http://127.0.0.1:9", ByteTokenizer(), api_key=key)
    assert "s3" not in str(refusal.value)


def test_account_in_an_address_is_told_nobody():
    teacher = OpenAITeacher("http://ann:s3cret@127.0.0.1:9/v1", ByteTokenizer(), options=QUICK)
    try:
        stream = teacher.submit(request())
        finish(teacher, stream)
        assert "s3cret" not in f"{stream.error} {teacher.name} {teacher.url}"
        assert teacher.name == "http://127.0.0.1:9"
    finally:
        teacher.close()


def test_pause_doubles_is_jittered_and_bounded():
    options = RemoteOptions(backoff_seconds=1, backoff_limit=5)
    assert [options.pause_before(attempt, 0, 0.5) for attempt in (1, 2, 3, 4, 9)] == [1, 2, 4, 5, 5]
    assert [options.pause_before(1, 0, jitter) for jitter in (0.0, 1.0)] == [0.5, 1.5]
    assert options.pause_before(1, 3, 0.5) == 3
    assert options.pause_before(1, 600, 0.5) == 5
