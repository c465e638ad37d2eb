"""A relay whose student is behind servers: the answers of the decoder in process, whatever the servers suffer."""

from __future__ import annotations

import copy
import time
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayllm import RelayDecoder
from relayllm.engines.commands import add_command_tokens
from relayllm.engines.openai.beginnings import WeightProbe
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.student import OpenAIStudent
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.errors import ConfigError, StudentError
from relayllm.processes import free_port
from relayllm.relay.options import Options
from relayllm.relay.policy import EntropyThreshold, Scripted
from relayllm.relay.teacher import RemoteTeacher
from tests.support.fake_student import FakeStudent
from tests.support.fake_teacher import FakeTeacher, Fault
from tests.support.reference import greedy
from tests.support.small_models import base_tokenizer, make_model, pair
from tests.support.waiting import eventually

PROMPTS = ["There are pens in 12 boxes", "ok.", "x=7*8 ß🙂"]
QUICK = RemoteOptions(attempts=3, backoff_seconds=0.01, breaker_failures=3, breaker_seconds=0.2)


@pytest.fixture(scope="module")
def local():
    student, tokenizer, teacher, theirs = pair("qwen3", True)
    return RelayDecoder.from_models(student, tokenizer, teacher, theirs)


@pytest.fixture
def relay():
    """Makes a relay over servers: (decoder, student servers, teacher server)."""
    student, tokenizer, teacher, _ = pair("qwen3", True)

    with ExitStack() as stack:
        def make(replicas=1, with_teacher=True, **more):
            servers = [stack.enter_context(FakeStudent(student, tokenizer, **more)) for _ in range(replicas)]
            helper = stack.enter_context(FakeTeacher(tokenizer, greedy(teacher)))
            remote = OpenAIStudent([server.url for server in servers], tokenizer, options=QUICK)
            stack.callback(remote.shut_down)
            commands = (remote.commands.call, remote.commands.end)
            side = OpenAITeacher(helper.url, tokenizer, forbidden_ids=commands, options=QUICK) if with_teacher else None
            if side is not None:
                stack.callback(side.close)
            decoder = RelayDecoder(remote, tokenizer, None if side is None else RemoteTeacher(side),
                                   tokenizer)
            return decoder, servers, helper

        yield make


def stranger():
    """A student of the same shape and vocabulary, with other weights."""
    tokenizer = copy.deepcopy(base_tokenizer())
    model = make_model("qwen3", tokenizer, seed=77)
    add_command_tokens(model, tokenizer)
    return model


def same(found, wanted):
    assert [trace.token_ids for trace in found] == [trace.token_ids for trace in wanted]
    assert [trace.authors for trace in found] == [trace.authors for trace in wanted]
    assert [trace.stop_reason for trace in found] == [trace.stop_reason for trace in wanted]
    assert [[(call.position, call.requested, call.delivered) for call in trace.calls] for trace in found] == [
        [(call.position, call.requested, call.delivered) for call in trace.calls] for trace in wanted]


def test_greedy_answers_are_those_of_the_decoder_in_process(local, relay):
    decoder, *_ = relay()
    options = {"max_new_tokens": 24, "max_calls": 3, "call_bias": 8.0}
    found, wanted = decoder.generate(PROMPTS, **options), local.generate(PROMPTS, **options)
    same(found, wanted)
    assert sum(len(trace.calls) for trace in wanted) > 1
    for one, other in zip(found, wanted, strict=True):
        pairs = [(a, b) for a, b in zip(one.logprobs, other.logprobs, strict=True) if b is not None]
        assert [a for a, _ in pairs] == pytest.approx([b for _, b in pairs], abs=1e-4)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(st.tuples(st.integers(0, 14), st.sampled_from([1, 2, 9])), max_size=3).map(sorted),
                min_size=3, max_size=3))
def test_greedy_equals_the_decoder_in_process_for_any_call_pattern(local, relay, scripts):
    decoder, *_ = relay()
    policy = Scripted(script=dict(enumerate(scripts)))
    options = {"max_new_tokens": 18, "max_calls": 3, "policy": policy}
    same(decoder.generate(PROMPTS, **options), local.generate(PROMPTS, **options))


def test_sampled_answers_depend_on_seed_row_and_position_only(relay):
    decoder, *_ = relay()
    options = {"max_new_tokens": 10, "temperature": 1.0, "max_calls": 0}
    together = decoder.generate(PROMPTS, slots=3, seed=3, **options)
    apart = decoder.generate(PROMPTS, slots=1, seed=3, **options)
    assert [trace.token_ids for trace in together] == [trace.token_ids for trace in apart]
    assert [trace.token_ids for trace in together] != [
        trace.token_ids for trace in decoder.generate(PROMPTS, seed=4, **options)]


@pytest.mark.parametrize("fault", [Fault.cut(0), Fault.cut(1), Fault.cut(3), Fault.refuse(503), Fault.garbage("{")])
def test_server_that_fails_in_a_segment_is_asked_for_the_rest(local, relay, fault):
    decoder, servers, _ = relay()
    decoder.student.verify()
    servers[0].faults.extend([fault, fault])
    options = {"max_new_tokens": 24, "max_calls": 2, "call_bias": 12.0}
    same(decoder.generate(PROMPTS[:1], **options), local.generate(PROMPTS[:1], **options))


def test_replica_that_dies_hands_its_answers_to_the_next(local, relay):
    decoder, servers, _ = relay(replicas=2)
    decoder.student.verify()
    servers[0].always = Fault.refuse(503)
    options = {"max_new_tokens": 16, "max_calls": 2}
    same(decoder.generate(PROMPTS, **options), local.generate(PROMPTS, **options))


def test_segments_of_an_answer_go_to_one_replica(relay):
    decoder, servers, _ = relay(replicas=3)
    decoder.student.verify()
    for server in servers:
        server.bodies.clear()
    decoder.generate(PROMPTS[:1], max_new_tokens=24, max_calls=3, call_bias=50.0)
    assert sorted(len(server.bodies) for server in servers)[:2] == [0, 0]


def test_answers_of_one_seed_spread_over_the_replicas(relay):
    decoder, servers, _ = relay(replicas=2)
    decoder.student.verify()
    before = [len(server.bodies) for server in servers]
    options = Options(max_new_tokens=8, max_calls=0)
    requests = [decoder.request(f"There are {number} pens", options, seed=0) for number in range(12)]
    assert len(list(decoder.complete(requests, slots=12))) == 12
    assert all(len(server.bodies) > count for server, count in zip(servers, before, strict=True))


def test_without_a_student_the_teacher_writes_the_rest_and_the_trace_says_so(relay):
    decoder, servers, _ = relay()
    decoder.student.verify()
    servers[0].always = Fault.cut(2)
    [trace] = decoder.generate(PROMPTS[:1], max_new_tokens=12, max_calls=2)
    assert trace.degraded
    assert trace.authors[-1] == "teacher"


def test_without_student_and_teacher_the_error_names_the_servers(relay):
    decoder, servers, _ = relay(with_teacher=False)
    decoder.student.verify()
    servers[0].always = Fault.refuse(500)
    with pytest.raises(StudentError, match=servers[0].url):
        decoder.generate(PROMPTS[:1], max_new_tokens=12)
    with pytest.raises(StudentError, match=servers[0].url):
        list(decoder.stream(PROMPTS[0], max_new_tokens=12))


def test_ledger_tells_what_the_server_read_again_and_what_it_found(relay):
    decoder, *_ = relay()
    [trace] = decoder.generate(PROMPTS[:1], max_new_tokens=24, max_calls=2, max_call_tokens=5, call_bias=50.0)
    assert len(trace.calls) == 2
    ledger = trace.ledger
    assert ledger.student_cached > 0
    assert 0 < ledger.student_reread <= 16 * 3
    assert ledger.student_tokens + ledger.command_tokens + ledger.teacher_tokens == len(trace.token_ids)


def test_cancelled_answer_ends_its_request(relay):
    decoder, servers, _ = relay()
    decoder.student.verify()
    servers[0].token_seconds = 0.05
    stream = decoder.stream(PROMPTS[0], max_new_tokens=200, max_calls=0)
    next(stream)
    stream.close()
    assert servers[0].abandoned.wait(60)


def test_handshake_refuses_a_server_without_the_grammar(relay):
    decoder, *_ = relay(grammar=False)
    with pytest.raises(StudentError, match=r"does not run the relay grammar.*infra/vllm"):
        decoder.student.verify()


def test_handshake_refuses_replicas_of_different_models():
    student, tokenizer, *_ = pair("qwen3", True)
    with FakeStudent(student, tokenizer, name="one") as first, FakeStudent(student, tokenizer, name="two") as second:
        remote = OpenAIStudent([first.url, second.url], tokenizer, options=QUICK)
        with pytest.raises(StudentError, match="different models"):
            remote.verify()
        remote.shut_down()


def test_handshake_refuses_replicas_of_one_name_and_different_weights():
    student, tokenizer, *_ = pair("qwen3", True)
    with FakeStudent(student, tokenizer) as first, FakeStudent(stranger(), tokenizer) as second:
        remote = OpenAIStudent([first.url, second.url], tokenizer, options=QUICK)
        with pytest.raises(StudentError, match="other weights"):
            remote.verify()
        remote.shut_down()


def test_servers_whose_weights_follow_a_training_are_not_compared():
    student, tokenizer, *_ = pair("qwen3", True)
    with FakeStudent(student, tokenizer) as first, FakeStudent(stranger(), tokenizer) as second:
        remote = OpenAIStudent([first.url, second.url], tokenizer, options=QUICK, questions=())
        assert len(remote.verify()) == 2
        remote.shut_down()


def test_replica_that_is_away_at_first_is_met_when_it_is_there():
    student, tokenizer, *_ = pair("qwen3", True)
    port = free_port()
    with FakeStudent(student, tokenizer) as first:
        remote = OpenAIStudent([f"http://127.0.0.1:{port}", first.url], tokenizer, options=QUICK)
        assert len(remote.verify()) == 1
        assert remote.replicas_up == [False, True]
        with FakeStudent(student, tokenizer, port=port):
            assert eventually(lambda: remote.replicas_up == [True, True])
        assert eventually(lambda: remote.replicas_up == [False, True])
        remote.shut_down()


def test_replicas_that_are_all_away_are_an_error_that_names_one():
    remote = OpenAIStudent([f"http://127.0.0.1:{free_port()}"] * 2, pair("qwen3", True)[1], options=QUICK)
    with pytest.raises(StudentError, match=r"http://127.0.0.1:\d+"):
        remote.verify()
    assert not remote.up
    remote.shut_down()


def test_replica_that_comes_back_with_other_weights_is_asked_nothing(local, relay):
    decoder, (_, second), _ = relay(replicas=2)
    decoder.student.verify()
    port = int(second.url.rsplit(":", 1)[1])
    second.__exit__()
    with FakeStudent(stranger(), decoder.tokenizer, port=port) as other:
        options = {"max_new_tokens": 12, "max_calls": 1}
        for seed in range(4):
            found = decoder.generate(PROMPTS, seed=seed, **options)
            same(found, local.generate(PROMPTS, seed=seed, **options))
            assert not any(trace.degraded for trace in found)
        assert eventually(lambda: other.bodies and decoder.student.replicas_up == [True, False])
        assert not other.asked


def test_replica_that_comes_back_with_its_own_weights_is_asked_again(relay):
    decoder, (first, second), _ = relay(replicas=2)
    decoder.student.verify()
    port = int(second.url.rsplit(":", 1)[1])
    second.__exit__()
    assert eventually(lambda: decoder.student.replicas_up == [True, False])
    with FakeStudent(second.network, decoder.tokenizer, port=port) as back:
        assert eventually(lambda: decoder.student.replicas_up == [True, True])
        first.always = Fault.refuse(503)
        assert decoder.generate(PROMPTS[:1], max_new_tokens=8, max_calls=0)
        assert back.asked


def test_handshake_tells_caching_and_the_kind_of_logprobs(relay):
    decoder, *_ = relay()
    [info] = decoder.student.verify()
    assert (info.model, info.processed_logprobs, info.context_length) == ("student", True, 4096)
    assert info.cached_tokens > 0


@pytest.mark.parametrize(("context", "found", "said"), [
    (4096, 0, "found 0 of the 384 tokens"), (200, None, "has a context of 200 tokens"), (4096, 368, "")])
def test_handshake_says_where_prefixes_are_not_cached(caplog, context, found, said):
    student, tokenizer, *_ = pair("qwen3", True)
    with FakeStudent(student, tokenizer, context=context, caches=found != 0) as server:
        remote = OpenAIStudent([server.url], tokenizer, options=QUICK)
        [info] = remote.verify()
        remote.shut_down()
    assert info.cached_tokens == found
    assert said in caplog.text
    assert ("--enable-prefix-caching" in caplog.text) is bool(said)


def test_handshake_refuses_a_context_in_which_its_questions_do_not_fit():
    student, tokenizer, *_ = pair("qwen3", True)
    question = WeightProbe(tuple(tokenizer.encode("There are pens. " * 60)))
    with FakeStudent(student, tokenizer, context=200) as server:
        remote = OpenAIStudent([server.url], tokenizer, options=QUICK, questions=[question])
        with pytest.raises(StudentError, match=r"reads 200 tokens.*--max-model-len"):
            remote.verify()
        remote.shut_down()


def test_tokenizer_without_commands_is_refused():
    *_, theirs = pair("qwen3", True)
    with pytest.raises(ConfigError, match="has no <call>"):
        OpenAIStudent(["http://127.0.0.1:9"], theirs)


def test_policy_that_reads_entropies_is_refused(relay):
    decoder, *_ = relay()
    with pytest.raises(ConfigError, match="entropy"):
        decoder.generate(PROMPTS[:1], policy=EntropyThreshold(threshold=1.0))


def test_server_that_refuses_one_request_after_its_pause_is_asked_the_next_one(relay):
    decoder, (server,), _ = relay(with_teacher=False)
    decoder.student.verify()
    server.always = Fault.refuse(503)
    with pytest.raises(StudentError):
        decoder.generate(PROMPTS[:1], max_new_tokens=8, max_calls=0)
    while not decoder.student.up:
        time.sleep(0.01)
    server.always = Fault.refuse(400)
    with pytest.raises(StudentError):
        decoder.generate(PROMPTS[:1], max_new_tokens=8, max_calls=0)
    server.always = None
    assert decoder.generate(PROMPTS[:1], max_new_tokens=8, max_calls=0)


def test_patience_with_a_students_servers_is_not_the_teachers(monkeypatch):
    monkeypatch.setenv("RELAY_TEACHER_ATTEMPTS", "7")
    monkeypatch.setenv("RELAY_STUDENT_STALL_SECONDS", "90")
    student = OpenAIStudent(["http://127.0.0.1:9"], pair("qwen3", True)[1])
    assert (student.options.attempts, student.options.stall_seconds) == (3, 90)
    student.shut_down()
