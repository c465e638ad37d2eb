"""The teacher slow, down, wrong, talking garbage, cut, back again: the answer is finished, flagged and counted."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest

from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.relay.teacher import RemoteTeacher
from relayllm.relay.vocabulary import plain_ids
from tests.support.fake_teacher import FakeTeacher, Fault
from tests.support.fakes_serving import STUDENT_SCRIPT, ScriptedEngine, serving, tokenizers
from tests.support.waiting import eventually

TEXT = "There are 3 boxes with 4 pens. 3 x 4 = 12. The answer is 12."
ALONE = "There are 3 boxes with 4 pens. 3 x 4 = . The answer is ."
PATIENT = RemoteOptions(attempts=2, backoff_seconds=0.01, breaker_failures=2, breaker_seconds=600)
"""A teacher that is slow because the machine is busy has not fallen silent."""
QUICK = replace(PATIENT, stall_seconds=0.3)


@contextmanager
def remote(*, url=None, model=None, options=PATIENT):
    """A server whose student is scripted and whose teacher is behind HTTP."""
    ours, _ = tokenizers()
    with FakeTeacher(ours, lambda ids: plain_ids(ours, "12" * 20)) as teacher:
        commands = [ours.convert_tokens_to_ids(name) for name in ("<call>", "</call>")]
        engine = OpenAITeacher(url or teacher.url, ours, model=model, forbidden_ids=commands, options=options)
        decoder = RelayDecoder(ScriptedEngine(ours, STUDENT_SCRIPT), ours, RemoteTeacher(engine), ours,
                               teacher_name=teacher.url, context_length=512)
        with serving(decoder) as server:
            yield server, teacher


def assert_degraded(server, text_begins=ALONE[:39]):
    answer = server.chat().json()
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["message"]["content"].startswith(text_begins)
    assert answer["choices"][0]["message"]["content"].endswith("The answer is .")
    assert answer["relay"]["degraded"] is True
    assert [call["failed"] for call in answer["relay"]["calls"]] == [True]
    assert server.metric("relay_degraded_total") == 1
    assert server.metric('relay_calls_total{alias="champion",failed="true"') == 1
    return answer


def test_teacher_that_is_well_is_not_degraded():
    with remote() as (server, _):
        answer = server.chat().json()
        assert answer["choices"][0]["message"]["content"] == TEXT
        assert answer["relay"]["degraded"] is False


@pytest.mark.parametrize("fault", [
    Fault.stall(), Fault.trickle(), Fault.refuse(500), Fault.refuse(401), Fault.garbage("{not json"),
    Fault.garbage('{"choices": [{"token_ids": ["x"]}]}'), Fault.cut(0)],
    ids=["silent", "trickling", "failing", "forbidden", "garbage", "wrong-ids", "hangs-up"])
def test_teacher_fault_costs_the_help_and_not_the_answer(fault):
    with remote(options=QUICK if fault.kind in ("stall", "trickle") else PATIENT) as (server, teacher):
        teacher.always = fault
        assert_degraded(server)


def test_teacher_that_is_down_at_start_costs_the_help():
    with remote(url="http://127.0.0.1:9") as (server, _):
        assert_degraded(server)
        assert server.client.get("/ready").status_code == 200


def test_teacher_that_serves_another_model_costs_the_help():
    with remote(model="other") as (server, _):
        assert_degraded(server)


def test_teacher_cut_in_the_middle_keeps_what_came_and_goes_on():
    with remote(options=replace(PATIENT, attempts=1)) as (server, teacher):
        teacher.always = Fault.cut(1)
        answer = assert_degraded(server, TEXT[:40])
        assert answer["relay"]["ledger"]["teacher_tokens"] == 1


def test_degraded_stream_is_finished_and_flagged():
    with remote() as (server, teacher):
        teacher.always = Fault.refuse(500)
        text = server.chat(stream=True).text
        assert '"degraded":true' in text
        assert text.rstrip().endswith("data: [DONE]")


def test_circuit_opens_and_the_teacher_is_asked_no_more():
    with remote() as (server, teacher):
        teacher.always = Fault.refuse(500)
        assert [server.chat().json()["relay"]["degraded"] for _ in range(3)] == [True] * 3
        assert server.metric("relay_teacher_up") == 0
        asked = len(teacher.bodies)
        assert server.chat().json()["relay"]["degraded"] is True
        assert len(teacher.bodies) == asked


def test_circuit_closes_when_the_teacher_is_back():
    with remote(options=replace(PATIENT, breaker_seconds=0.5)) as (server, teacher):
        teacher.always = Fault.refuse(500)
        assert [server.chat().json()["relay"]["degraded"] for _ in range(3)] == [True] * 3
        teacher.always = None
        assert eventually(lambda: server.metric("relay_teacher_up") == 1)
        answer = server.chat().json()
        assert answer["relay"]["degraded"] is False
        assert answer["choices"][0]["message"]["content"] == TEXT
