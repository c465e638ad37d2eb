"""A teacher in this process that fails costs its calls the help, and nobody an answer."""

from __future__ import annotations

import pytest

from relayllm import RelayDecoder
from relayllm.errors import TeacherError
from relayllm.relay.options import Options
from relayllm.relay.policy import Scripted
from relayllm.relay.teacher import LocalTeacher
from relayllm.relay.trace import Author, StopReason
from tests.support.fakes_serving import scripted_decoder
from tests.support.plain_relay import NO_BATCHING
from tests.support.small_models import pair

ALONE = "There are 3 boxes with 4 pens. 3 x 4 = . The answer is ."
WELL = "There are 3 boxes with 4 pens. 3 x 4 = 12. The answer is 12."


def scripted(faults: list[Exception | None]) -> RelayDecoder:
    """Its teacher fails as the list says, forward by forward, and is well after it."""
    left = iter(faults)
    return scripted_decoder(teacher_fault=lambda: next(left, None))


def out_of_memory() -> Exception:
    return RuntimeError("CUDA out of memory")


def test_teacher_that_fails_leaves_the_student_to_finish_alone():
    trace = scripted([out_of_memory()]).generate(["How many?"])[0]
    assert (trace.text, trace.stop_reason, trace.degraded) == (ALONE, StopReason.FINISHED, True)
    assert [(call.failed, call.delivered) for call in trace.calls] == [(True, 0)]


def test_teacher_that_fails_in_the_middle_of_a_call_keeps_what_came():
    trace = scripted([None, out_of_memory()]).generate(["How many?"])[0]
    assert trace.text.startswith("There are 3 boxes with 4 pens. 3 x 4 = 1. The answer")
    assert [(call.failed, call.delivered) for call in trace.calls] == [(True, 1)]


def test_teacher_that_fails_once_serves_the_rows_that_come_after():
    decoder = scripted([out_of_memory()])
    assert [decoder.generate(["How many?"])[0].text for _ in range(3)] == [ALONE, WELL, WELL]


def test_teacher_that_fails_again_fails_as_cleanly():
    decoder = scripted([out_of_memory()] * 2)
    assert [decoder.generate(["How many?"])[0].degraded for _ in range(3)] == [True, True, False]


def test_teacher_that_fails_keeps_no_cache_of_the_rows_that_called():
    decoder = scripted([out_of_memory()])
    session = decoder.session(4)
    for row in range(4):
        session.submit(decoder.request("How many?", Options(), row=row))
    while not any(one.degraded for one in map(session.row, range(1, 5)) if one):
        session.step()
    assert decoder.teacher.engine.rows == 0


def test_delivery_of_a_failure_is_a_teacher_error_with_its_cause():
    decoder, fault = scripted([]), out_of_memory()
    decoder.teacher.engine.fault = lambda: fault
    session = decoder.session(1)
    session.submit(decoder.request("How many?", Options()))
    while not session.row(1) or session.row(1).pen.value != "teacher":
        session.step()
    (row, delivery), = decoder.teacher.advance([session.row(1)], writing=0)
    assert row is session.row(1)
    assert isinstance(delivery.error, TeacherError)
    assert delivery.error.__cause__ is fault
    assert "scripted" in str(delivery.error)
    assert "CUDA out of memory" in str(delivery.error)


class FailingForward:
    """A model's forward that fails when told to, after layers have already written to the cache."""

    def __init__(self, engine) -> None:
        self.left = 0
        engine.model.get_output_embeddings().register_forward_pre_hook(self)

    def __call__(self, module, inputs):
        self.left -= 1
        if self.left == 0:
            raise out_of_memory()


@pytest.mark.parametrize("forward", [1, 2, 5])
def test_rows_that_did_not_call_are_served_as_if_nothing_had_failed(forward):
    """On real models: of two rows one calls late; the other's call fails."""
    import copy

    student, tokenizer, teacher, theirs = pair()
    decoder = RelayDecoder.from_models(student, tokenizer, copy.deepcopy(teacher), theirs)
    decoder.teacher = LocalTeacher(decoder.teacher.engine, NO_BATCHING)
    options = {"max_new_tokens": 30, "policy": Scripted(script={0: [(1, 4)], 1: [(14, 4), (22, 2)]})}
    prompts = ["There are pens", "There are 12 boxes"]
    well = decoder.generate(prompts, **options)
    failing = FailingForward(decoder.teacher.engine)
    failing.left = forward
    hurt = decoder.generate(prompts, **options)
    failed = next(row for row, trace in enumerate(hurt) if trace.degraded)
    assert [trace.degraded for trace in hurt].count(True) == 1
    assert hurt[1 - failed].token_ids == well[1 - failed].token_ids
    assert hurt[failed].authors.count(Author.TEACHER) < well[failed].authors.count(Author.TEACHER)
    assert [trace.token_ids for trace in decoder.generate(prompts, **options)] == [trace.token_ids for trace in well]
