"""The remote teacher against a server that does what it should, and against one that does not."""

from __future__ import annotations

import threading
import time

import pytest

from relayllm.engines.openai.breaker import Circuit
from relayllm.engines.openai.calls import CallStream
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.errors import ConfigError, TeacherError
from relayllm.relay.protocols import CallRequest
from tests.support.fake_teacher import FakeTeacher, Fault
from tests.support.plain_relay import CALL, END, EOS, ByteTokenizer

QUICK = RemoteOptions(attempts=3, backoff_seconds=0.01, breaker_failures=3, breaker_seconds=0.3)
"""Quick to try again; a server that is slow because the machine is busy has not fallen silent."""
TEXT = "two and two are four"


def writes(text: str, prompt: str = "Q: ", end: bool = False):
    """A model that continues `prompt` with `text`, from wherever the ids it is given stop."""
    whole = [*text.encode(), *([EOS] if end else [])]
    return lambda ids: whole[len(ids) - len(prompt):]


WRITE = writes(TEXT)


def request(n: int = 8, prompt: str = "Q: ", **options) -> CallRequest:
    return CallRequest(tuple(prompt.encode()), n, **options)


@pytest.fixture
def serve():
    """Start servers with teachers to them; all are ended with the test."""
    opened: list = []

    def start(write=WRITE, *, options=QUICK, tokenizer=None, forbidden_ids=(CALL, END), **more):
        teacher_options = {name: more.pop(name) for name in ("mode", "expected", "api_key") if name in more}
        teacher_options["model"] = teacher_options.pop("expected", None)
        server = FakeTeacher(ByteTokenizer(), write, **more)
        server.__enter__()
        teacher = OpenAITeacher(server.url, tokenizer or ByteTokenizer(), options=options,
                                forbidden_ids=forbidden_ids, **teacher_options)
        opened.append((server, teacher))
        return server, teacher

    yield start
    for server, teacher in opened:
        teacher.close()
        server.__exit__()


def finish(teacher: OpenAITeacher, stream: CallStream, seconds: float = 60.0) -> str:
    """Wait for the end of a call; what it brought, as text."""
    ids, until = [], time.monotonic() + seconds
    while True:
        done = stream.done
        ids += stream.take()
        if done:
            return bytes(ids).decode()
        assert time.monotonic() < until, "the call never ended"
        teacher.wait(0.05)


# --- a server that is well


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
    server.barrier = threading.Barrier(16, timeout=20)  # no answer begins before all have been asked for
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
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)


# --- trouble that passes


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


def test_ask_server_asks_to_wait_is_obeyed(serve):
    server, teacher = serve(options=RemoteOptions(backoff_seconds=0.001))
    server.faults.append(Fault.refuse(429, retry_after="0.3"))
    started = time.monotonic()
    finish(teacher, teacher.submit(request(3)))
    assert time.monotonic() - started >= 0.3  # no sooner than it was asked to, on any machine


def test_pause_doubles_is_jittered_and_bounded():
    options = RemoteOptions(backoff_seconds=1, backoff_limit=5)
    assert [options.pause_before(attempt, 0, 0.5) for attempt in (1, 2, 3, 4, 9)] == [1, 2, 4, 5, 5]
    assert [options.pause_before(1, 0, jitter) for jitter in (0.0, 1.0)] == [0.5, 1.5]
    assert options.pause_before(1, 3, 0.5) == 3
    assert options.pause_before(1, 600, 0.5) == 5


# --- trouble that stays


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
    server, teacher = serve(options=RemoteOptions(stall_seconds=0.4, token_seconds=0.02, attempts=3))
    server.always = Fault.trickle(after=2)
    stream = teacher.submit(request(5))
    assert finish(teacher, stream) == "tw"
    assert "did not write 5 tokens within 0.5 s" in str(stream.error)


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


# --- who serves there


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


def test_server_down_at_the_first_call_is_met_at_a_later_one(serve):
    server, teacher = serve(key="sesame", api_key="wrong")
    assert finish(teacher, teacher.submit(request())) == ""
    server.key = None
    assert finish(teacher, teacher.submit(request(3))) == "two"


# --- the circuit breaker


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
    server, teacher = serve(options=RemoteOptions(attempts=1, breaker_failures=2, breaker_seconds=0.2))
    server.always = Fault.refuse(500)
    for _ in range(2):
        finish(teacher, teacher.submit(request()))
    server.always = None
    time.sleep(0.25)
    answers = [teacher.submit(request(3)) for _ in range(4)]
    assert [finish(teacher, stream) for stream in answers] == ["two", "", "", ""]
    assert teacher.circuit is Circuit.CLOSED
    assert finish(teacher, teacher.submit(request(3))) == "two"


def test_circuit_many_calls_to_a_dead_server_fail_together():
    teacher = OpenAITeacher("http://10.255.255.1:9", ByteTokenizer(), options=RemoteOptions(
        connect_seconds=0.3, attempts=1, stall_seconds=0.3))
    answers = [teacher.submit(request()) for _ in range(32)]
    assert {finish(teacher, stream) for stream in answers} == {""}
    teacher.close()


# --- settings


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


def test_server_that_has_moved_is_named_with_where_to(serve):
    server, teacher = serve()
    server.always = Fault.refuse(308, location="https://elsewhere/v1/completions")
    stream = teacher.submit(request())
    finish(teacher, stream)
    assert "it points to https://elsewhere/v1/completions: give that address" in str(stream.error)
