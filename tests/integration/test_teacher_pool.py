"""Several teachers behind real local servers: order, replicas, fallback, governance, prices."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.pool import TeacherPool
from relayllm.engines.openai.pool_config import PoolConfig
from relayllm.engines.roles import remote_teacher
from relayllm.engines.teacher_only import RemoteGenerator
from relayllm.relay.prices import Prices
from relayllm.relay.protocols import CallRequest
from relayllm.relay.teacher import RemoteTeacher
from relayllm.relay.vocabulary import plain_ids
from tests.support.fake_teacher import FakeTeacher, Fault
from tests.support.fakes_serving import STUDENT_SCRIPT, ScriptedEngine, serving, tokenizers
from tests.support.waiting import eventually

QUICK = RemoteOptions(attempts=1, backoff_seconds=0.01, breaker_failures=1, breaker_seconds=600)
CARD, NO_CARD = "4111 1111 1111 1111", "4111 1111 1111 1112"


@contextmanager
def servers(count=2, speaks="ids"):
    """Teachers of which the first writes 1, the second 2, and so on."""
    ours, _ = tokenizers()
    made = [FakeTeacher(ours, lambda ids, digit=index: plain_ids(ours, str(digit + 1) * 40), speaks=speaks)
            for index in range(count)]
    for server in made:
        server.__enter__()
    try:
        yield made
    finally:
        for server in made:
            server.__exit__(None, None, None)


@contextmanager
def pooled(teachers, **more):
    pool = TeacherPool(PoolConfig.model_validate({"teachers": teachers, **more}), tokenizers()[0], options=QUICK)
    try:
        yield pool
    finally:
        pool.close()


def two(first, second, **of_second):
    return [{"name": "cheap", "urls": [first.url]}, {"name": "strong", "urls": [second.url], **of_second}]


def decoder_of(pool):
    ours, _ = tokenizers()
    return RelayDecoder(ScriptedEngine(ours, STUDENT_SCRIPT), ours, RemoteTeacher(pool), ours, context_length=512)


def written(pool, prompt="How many? ", **options):
    trace, = decoder_of(pool).generate([prompt], max_new_tokens=120, **options)
    return trace


def asked(pool, *, session=0, n=2, prompt="How many?"):
    stream = pool.submit(CallRequest(tuple(plain_ids(tokenizers()[0], prompt)), n, session=session))
    assert eventually(lambda: stream.done)
    return stream


def sent_texts(server):
    return [tokenizers()[0].decode(body["prompt"]) for body in server.asked]


def test_calls_go_to_the_first_teacher_and_name_it():
    with servers() as (cheap, strong), pooled(two(cheap, strong)) as pool:
        trace = written(pool)
        assert [call.teacher for call in trace.calls] == ["cheap", "cheap"]
        assert "= 11" in trace.text
        assert not strong.asked


def test_first_teacher_that_fails_is_followed_by_the_strong_one_and_its_circuit_stays_open():
    with servers() as (cheap, strong), pooled(two(cheap, strong)) as pool:
        cheap.always = Fault.refuse(500)
        trace = written(pool)
        assert [call.teacher for call in trace.calls] == ["strong", "strong"]
        assert "= 22" in trace.text
        assert not trace.degraded
        assert len(cheap.asked) + len(cheap.bodies) > 0
        before = len(cheap.bodies)
        written(pool)
        assert len(cheap.bodies) == before


def test_all_teachers_down_degrades_the_row():
    with servers() as (cheap, strong), pooled(two(cheap, strong)) as pool:
        cheap.always = strong.always = Fault.refuse(500)
        trace = written(pool)
        assert trace.degraded
        assert [(call.failed, call.refused) for call in trace.calls] == [(True, False)]


def test_teacher_cut_after_a_token_keeps_it_and_asks_nobody_else():
    with servers() as (cheap, strong), pooled(two(cheap, strong)) as pool:
        cheap.always = Fault.cut(1)
        trace = written(pool)
        assert trace.calls[0].teacher == "cheap"
        assert trace.calls[0].delivered == 1
        assert not strong.asked


def test_rule_gives_later_calls_to_the_strong_one_which_reads_all_afresh():
    with servers() as (cheap, strong), pooled(two(cheap, strong, when={"from_call": 2})) as pool:
        trace = written(pool)
        first, second = trace.calls
        assert (first.teacher, second.teacher) == ("cheap", "strong")
        assert second.cached == 0
        assert second.read > first.read
        assert sum(call.read for call in trace.calls) == trace.ledger.teacher_prefilled


def test_each_call_costs_what_its_teacher_does():
    with servers() as (cheap, strong), pooled(two(cheap, strong, when={"from_call": 2}, prices={
            "teacher": 1_000_000, "teacher_read": 0})) as pool:
        trace = written(pool)
        prices = Prices(teacher=1_000, teachers=pool.prices)
        assert prices.parts(trace.ledger, trace.calls)["teacher"] == pytest.approx(2 * 0.001 + 2 * 1.0)


def test_page_is_told_the_prices_of_the_last_teacher_alone():
    with servers() as (cheap, strong), pooled(two(cheap, strong, prices={"teacher": 7.0})) as pool:
        with serving(decoder_of(pool), prices=Prices(teacher=1.0, teacher_read=0.5, teachers=pool.prices)) as server:
            assert server.client.get("/facts").json()["alone"] == {
                "name": "strong", "teacher": 7.0, "teacher_read": 0.0, "teacher_second": 0.0}
        with serving(decoder_of(pool)) as server:
            assert server.client.get("/facts").json()["alone"] is None


def test_calls_of_an_answer_stay_with_one_replica_and_move_when_it_is_down():
    with servers() as (one, two_), pooled([{"name": "big", "urls": [one.url, two_.url]}]) as pool:
        for _ in range(3):
            asked(pool, session=7)
        assert sorted((len(one.asked), len(two_.asked))) == [0, 3]
        asked(pool, session=8)
        assert sorted((len(one.asked), len(two_.asked))) == [1, 3]
        home, other = (one, two_) if len(one.asked) == 3 else (two_, one)
        home.always = Fault.refuse(500)
        assert asked(pool, session=7).error is None
        home.always = None
        asked(pool, session=7)
        assert (len(home.asked), len(other.asked)) == (4, 3)


def test_call_that_every_replica_fails_goes_to_the_next_teacher():
    with servers(3) as (one, two_, strong), pooled([{"name": "cheap", "urls": [one.url, two_.url]},
                                                    {"name": "strong", "urls": [strong.url]}]) as pool:
        one.always = two_.always = Fault.refuse(500)
        stream = asked(pool)
        assert (stream.teacher, stream.error, len(one.asked), len(two_.asked)) == ("strong", None, 1, 1)


def test_variables_of_one_teacher_do_not_reach_the_pool(monkeypatch):
    monkeypatch.setenv("RELAY_TEACHER_MODEL", "another")
    monkeypatch.setenv("RELAY_TEACHER_MODE", "text")
    with servers(1) as (server,), pooled([{"name": "only", "urls": [server.url]}]) as pool:
        assert asked(pool).error is None
        assert isinstance(server.asked[0]["prompt"], list)


def test_a_new_answer_goes_to_the_least_loaded_replica():
    with servers() as (one, two_), pooled([{"name": "big", "urls": [one.url, two_.url]}]) as pool:
        one.always = two_.always = Fault.trickle()
        request = CallRequest(tuple(plain_ids(tokenizers()[0], "How many?")), 2, session=1)
        held = pool.submit(request)  # the first replica stays busy
        assert eventually(lambda: len(one.asked) == 1)
        two_.always = None
        for session in (2, 3, 4):
            asked(pool, session=session)
        assert len(one.asked) == 1
        assert len(two_.asked) == 3
        held.cancel()


@pytest.mark.parametrize("speaks", ["ids", "text", "messages"])
def test_masked_text_is_not_on_the_wire_and_the_rest_is(speaks, tmp_path):
    rules = {"rules": [{"name": "email"}, {"name": "card"}], "audit": str(tmp_path / "audit.jsonl")}
    with servers(1, speaks) as (server,), pooled([{"name": "far", "urls": [server.url]}], governance=rules) as pool:
        prompt = [{"role": "user", "content": f"Write to ann@example.org about {CARD}, not {NO_CARD}."}]
        trace = written(pool, prompt)
        assert not trace.degraded
        wire = json.dumps(server.bodies + server.chats)
        texts = wire if speaks != "ids" else "".join(sent_texts(server))
        assert "ann@" not in texts.replace(" ", "")
        assert CARD not in texts
        assert "[email]" in texts
        assert "[card]" in texts
        assert NO_CARD in texts
        lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
        assert {line["action"] for line in lines} == {"masked"}
        assert {line["teacher"] for line in lines} == {"far"}
        assert all(line["content"].startswith("sha256:") for line in lines)
        assert "ann" not in (tmp_path / "audit.jsonl").read_text()


@pytest.mark.parametrize("text", [f"{CARD} 12/27", f"{CARD} 123", f"12 {CARD}", CARD.replace(" ", "."),
                                  CARD.replace(" ", "\N{NO-BREAK SPACE}")])
@pytest.mark.parametrize("action", ["mask", "refuse"])
def test_card_number_is_kept_whatever_stands_beside_it(text, action, tmp_path):
    rules = {"rules": [{"name": "card", "action": action}], "audit": str(tmp_path / "audit")}
    with servers(1) as (server,), pooled([{"name": "far", "urls": [server.url]}], governance=rules) as pool:
        stream = asked(pool, prompt=f"Pay with {text} now")
        assert (stream.error is None) is (action == "mask")
        assert not any("1111" in sent for sent in sent_texts(server))
        assert json.loads((tmp_path / "audit").read_text())["rules"] == ["card"]


@contextmanager
def named_pool(folder, monkeypatch, server, *, trusted=False, action="mask"):
    """RELAY_TEACHERS names a pool of two, of which `far` is this server; yields the audit."""
    (folder / "teachers.yaml").write_text(json.dumps({
        "teachers": [{"name": "near", "urls": ["http://127.0.0.1:9"]},
                     {"name": "far", "urls": ["http://127.0.0.1:8", f"{server.url}/v1"], "trusted": trusted}],
        "governance": {"rules": [{"name": "card", "action": action}], "audit": str(folder / "audit")}}))
    monkeypatch.setenv("RELAY_TEACHERS", str(folder / "teachers.yaml"))
    yield lambda: [json.loads(line) for line in (folder / "audit").read_text().splitlines()]


def test_whole_answers_of_one_of_a_pool_are_asked_for_under_its_rules(tmp_path, monkeypatch):
    with servers(1) as (server,), named_pool(tmp_path, monkeypatch, server) as audit:
        alone = RemoteGenerator(server.url, tokenizers()[0], options=QUICK)
        try:
            alone.generate([f"Pay {CARD} now"], max_new_tokens=4)
        finally:
            alone.close()
        assert not any("1111" in text for text in sent_texts(server))
        assert "[card]" in sent_texts(server)[0]
        assert [(line["teacher"], line["action"]) for line in audit()] == [("far", "masked")]


def test_address_of_one_of_a_pool_is_called_under_its_rules(tmp_path, monkeypatch):
    ours, _ = tokenizers()
    with servers(1) as (server,), named_pool(tmp_path, monkeypatch, server, action="refuse") as audit:
        teacher = remote_teacher(server.url, ours, ours)
        decoder = RelayDecoder(ScriptedEngine(ours, STUDENT_SCRIPT), ours, teacher, ours, context_length=512)
        kept, = decoder.generate([f"Pay {CARD}"], max_new_tokens=120)
        sent, = decoder.generate(["How many?"], max_new_tokens=120)
        decoder.close()
        assert (kept.degraded_by, [call.refused for call in kept.calls]) == (["policy"], [True])
        assert not sent.degraded
        assert [line["action"] for line in audit()] == ["refused", "sent", "sent"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_trusted_teacher_and_one_that_no_pool_names_are_asked_without_rules(tmp_path, monkeypatch, elsewhere):
    with servers() as (named, other), named_pool(tmp_path, monkeypatch, named, trusted=True):
        server = other if elsewhere else named
        alone = RemoteGenerator(server.url, tokenizers()[0], options=QUICK)
        try:
            alone.generate([f"Pay {CARD} now"], max_new_tokens=4)
        finally:
            alone.close()
        assert CARD in sent_texts(server)[0]
        assert not (tmp_path / "audit").exists()


def test_call_without_a_match_is_sent_id_for_id(tmp_path):
    rules = {"rules": [{"name": "email"}, {"name": "card"}], "audit": str(tmp_path / "a")}
    with servers(1) as (server,), pooled([{"name": "free", "urls": [server.url]}]) as plain, pooled(
            [{"name": "governed", "urls": [server.url]}], governance=rules) as pool:
        written(plain)
        written(pool)
        prompts = [body["prompt"] for body in server.asked]
        assert len(prompts) == 4
        assert prompts[:2] == prompts[2:]


def test_match_across_the_beginning_of_the_answer_is_refused():
    with servers(1) as (server,), pooled([{"name": "far", "urls": [server.url]}],
                                         governance={"rules": [{"name": "email"}]}) as pool:
        ids, answer = (plain_ids(tokenizers()[0], text) for text in ("mail ann@", "example.org "))
        stream = pool.submit(CallRequest((*ids, *answer), 2, answer_start=len(ids)))
        assert stream.done
        assert "governance" in str(stream.error)
        assert not server.asked


def test_refused_call_degrades_the_row_and_the_api_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv("AUDIT_KEY", "k")
    rules = {"rules": [{"name": "project", "pattern": "boxes", "action": "refuse"}],
             "audit": str(tmp_path / "audit"), "key_variable": "AUDIT_KEY"}
    with servers() as (one, two_), pooled(two(one, two_), governance=rules) as pool:
        with serving(decoder_of(pool)) as server:
            relay = server.chat().json()["relay"]
            assert relay["degraded_by"] == ["policy"]
            assert [(call["teacher"], call["failed"], call["refused"]) for call in relay["calls"]] == [
                ("strong", True, True)]
            assert server.metric('relay_calls_total{alias="champion",failed="true",teacher="strong"') == 1
        assert not one.asked + two_.asked
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [(line["teacher"], line["action"], line["rules"]) for line in lines] == [
        ("cheap", "refused", ["project"]), ("strong", "refused", ["project"])]
    assert lines[0]["content"].startswith("hmac-sha256:")


def test_audit_names_the_key_that_asked_and_never_holds_it(tmp_path):
    with servers(1) as (server,), pooled([{"name": "far", "urls": [server.url]}],
                                         governance={"audit": str(tmp_path / "audit")}) as pool:
        with serving(decoder_of(pool), keys="ann:s3cret,ben:0ther") as front:
            for name, secret in (("ann", "s3cret"), ("ben", "0ther")):
                front.client.headers["authorization"] = f"Bearer {secret}"
                assert front.chat().json()["relay"]["calls"][0]["teacher"] == "far", name
        written(pool)
    text = (tmp_path / "audit").read_text()
    callers = [json.loads(line)["caller"] for line in text.splitlines()]
    assert list(dict.fromkeys(callers)) == ["ann", "ben", None]
    assert "s3cret" not in text


def test_refused_call_goes_to_a_trusted_teacher():
    rules = {"rules": [{"name": "project", "pattern": "boxes", "action": "refuse"}]}
    with servers() as (far, near), pooled(two(far, near, trusted=True), governance=rules) as pool:
        trace = written(pool)
        assert not trace.degraded
        assert [call.teacher for call in trace.calls] == ["strong", "strong"]
        assert not far.asked


def test_audit_that_cannot_be_written_sends_nothing(tmp_path):
    with servers(1) as (server,), pooled([{"name": "far", "urls": [server.url]}],
                                         governance={"audit": str(tmp_path / "missing" / "audit")}) as pool:
        assert written(pool).degraded
        assert not server.asked


def test_pool_file_in_place_of_an_address_makes_the_pool(tmp_path):
    ours, _ = tokenizers()
    with servers(1) as (server,):
        path = tmp_path / "teachers.yaml"
        path.write_text(f"teachers:\n  - {{name: big, urls: ['{server.url}'], prices: {{teacher: 3}}}}\n")
        teacher = remote_teacher(str(path), ours, ours)
        decoder = RelayDecoder(ScriptedEngine(ours, STUDENT_SCRIPT), ours, teacher, ours, context_length=512)
        trace, = decoder.generate(["How many? "], max_new_tokens=120)
        assert [call.teacher for call in trace.calls] == ["big", "big"]
        assert teacher.server.prices["big"].teacher == 3
        decoder.close()
