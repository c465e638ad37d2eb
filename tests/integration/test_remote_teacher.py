"""The relay decoder with its teacher behind HTTP: the same answers as with the teacher in process, and none lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.relay.options import Options
from relayllm.relay.policy import Scripted
from relayllm.relay.row import Pen
from relayllm.relay.teacher import RemoteTeacher
from relayllm.relay.trace import Author, StopReason
from tests.support.fake_teacher import FakeTeacher, Fault
from tests.support.reference import best
from tests.support.small_models import pair

PROMPTS = ["How many pens are there?", "Four boxes of 12.", "The answer"]
SCRIPT = Scripted(script={0: [(0, 4), (6, 3)], 1: [(3, 5)], 2: [(2, 2), (2, 2), (9, 30)]})
QUICK = RemoteOptions(attempts=4, backoff_seconds=0.01, breaker_failures=2, breaker_seconds=60)


@pytest.fixture
def served():
    """A decoder whose teacher is a server, the server, and the decoder with the same teacher in process."""
    student, tokenizer, teacher, theirs = pair()
    local = RelayDecoder.from_models(student, tokenizer, teacher, theirs)
    commands = (local.commands.call, local.commands.end)
    memory: dict[tuple[int, ...], int] = {}

    def write(ids):
        while True:
            if (key := tuple(ids)) not in memory:
                memory[key] = best(teacher, ids, commands)
            yield memory[key]
            ids = [*ids, memory[key]]

    with FakeTeacher(tokenizer, write) as server:
        remote = OpenAITeacher(server.url, tokenizer, forbidden_ids=commands, options=QUICK)
        yield RelayDecoder(local.student, tokenizer, RemoteTeacher(remote), tokenizer), server, local
        remote.close()


def generate(decoder, prompts=PROMPTS, **options):
    return decoder.generate(prompts, max_new_tokens=40, policy=SCRIPT, **options)


def test_remote_answers_are_those_of_the_teacher_in_process(served):
    remote, _, local = served
    for there, here in zip(generate(remote), generate(local), strict=True):
        assert there.token_ids == here.token_ids
        assert there.authors == here.authors
        assert [(call.position, call.granted) for call in there.calls] == [
            (call.position, call.granted) for call in here.calls]
        assert there.ledger.teacher_tokens == here.ledger.teacher_tokens
        assert there.ledger.teacher_prefilled == here.ledger.teacher_prefilled
        assert len(there.calls) >= 1
        assert not there.degraded


def test_remote_cut_and_busy_server_changes_nothing(served):
    remote, server, local = served
    server.faults += [Fault.cut(1), Fault.refuse(503), Fault.cut(2)]
    assert [trace.token_ids for trace in generate(remote)] == [trace.token_ids for trace in generate(local)]


def test_remote_server_that_fails_costs_the_row_its_help_not_its_answer(served):
    remote, server, _ = served
    server.always = Fault.refuse(500)
    for trace in generate(remote):
        assert trace.degraded
        assert [call.failed for call in trace.calls] == [True]
        assert Author.TEACHER not in trace.authors
        assert len(trace.token_ids) == 40 or trace.stop_reason is StopReason.FINISHED


def test_remote_tokens_before_a_failure_stand(served):
    remote, server, local = served
    server.faults += [Fault.cut(2), *[Fault.cut(0)] * 3]
    (trace,), (whole, *_) = generate(remote, PROMPTS[:1]), generate(local)
    assert trace.degraded
    assert trace.calls[0].delivered == 2
    start = trace.authors.index(Author.TEACHER)
    assert trace.token_ids[:start + 2] == whole.token_ids[:start + 2]
    assert trace.authors[start + 2:] == (Author.STUDENT,) * len(trace.authors[start + 2:])


def test_remote_silent_server_holds_up_only_the_row_that_called(served):
    _, server, local = served
    server.always = Fault.hold()
    patient = OpenAITeacher(server.url, local.tokenizer, options=replace(QUICK, stall_seconds=120, attempts=1),
                            forbidden_ids=(local.commands.call, local.commands.end))
    remote = RelayDecoder(local.student, local.tokenizer, RemoteTeacher(patient), local.tokenizer)
    options = Options(max_new_tokens=40, policy=Scripted(script={0: [(0, 4)]}))
    session = remote.session(slots=2)
    calling, other = (session.submit(remote.request(PROMPTS[row], options, row=row)) for row in range(2))
    while other not in [done.handle for done in session.step()]:  # it comes to its end while the first row waits
        pass
    assert session.row(calling).pen is Pen.TEACHER
    server.release.set()
    while session.busy:
        session.step()
    patient.close()


def test_from_pretrained_takes_an_address_for_the_teacher(served, tmp_path, monkeypatch):
    _, server, local = served
    student, tokenizer, _, _ = pair()
    student.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    decoder = RelayDecoder.from_pretrained(tmp_path, server.url)
    assert [trace.token_ids for trace in generate(decoder)] == [trace.token_ids for trace in generate(local)]


def test_from_models_takes_an_address_for_a_student_in_training(served):
    _, server, local = served
    student, tokenizer, _, theirs = pair()
    decoder = RelayDecoder.from_models(student, tokenizer, server.url, theirs)
    assert [trace.token_ids for trace in generate(decoder)] == [trace.token_ids for trace in generate(local)]
