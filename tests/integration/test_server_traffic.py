"""Many clients at once: the shared batch, hang-ups, the queue's end, keys and budgets, an engine that fails."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from relayllm import RelayDecoder
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.relay.options import Options
from relayllm.relay.teacher import RemoteTeacher
from relayllm.serving.api.app import HttpLimits
from relayllm.serving.engine.prompts import PromptEncoder
from tests.support.fakes_serving import in_memory, scripted_decoder, serving
from tests.support.small_models import pair
from tests.support.waiting import eventually

LONG = ("word " * 300,)


def hang_up(server, *, stream=False):
    """Ask, and do not wait for the answer."""
    body = {"stream": stream, "messages": [{"role": "user", "content": "x"}]}
    with suppress(httpx.ReadTimeout), server.client.stream("POST", "/v1/chat/completions", json=body,
                                                           timeout=0.3) as answer:
        next(answer.iter_lines())


@pytest.mark.parametrize("stream", [False, True])
def test_client_that_hangs_up_frees_its_slot(stream):
    with serving(scripted_decoder(LONG, seconds=0.02)) as server:
        hang_up(server, stream=stream)
        assert server.idle()
        assert eventually(lambda: server.decoder.student.rows == 0)
        assert eventually(lambda: server.metric('relay_answers_total{alias="champion",stop_reason="cancelled"') == 1)
        assert server.chat(max_tokens=2).status_code == 200


def test_full_queue_is_429_with_retry_after():
    decoder = scripted_decoder(LONG)
    with serving(decoder, slots=1, queue=1) as server, ThreadPoolExecutor(2) as pool:
        decoder.student.gate.clear()
        held = [pool.submit(server.chat, max_tokens=3) for _ in range(2)]
        assert eventually(lambda: server.model_router.champion.engine.pending == 2)
        refused = server.chat(max_tokens=3)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_error"
        decoder.student.gate.set()
        assert [one.result().status_code for one in held] == [200, 200]
        assert server.metric("relay_refused_total") == 1


def test_request_for_more_choices_than_the_queue_is_answered_when_idle():
    with serving(slots=1, queue=0) as server:
        assert len(server.chat(n=4).json()["choices"]) == 4


def test_key_is_needed_when_keys_are_set():
    with serving(keys="ann:secret-a,ben:secret-b:4") as server:
        refused = server.chat()
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "invalid_api_key"
        assert server.client.get("/health").status_code == 200
        server.client.headers["authorization"] = "Bearer secret-a"
        assert server.chat().status_code == 200


def test_spent_budget_costs_the_teacher_and_not_the_answer():
    with serving(keys="ben:secret-b:5") as server:
        server.client.headers["authorization"] = "Bearer secret-b"
        relays = [server.chat().json()["relay"] for _ in range(3)]
        assert [relay["ledger"]["teacher_tokens"] for relay in relays] == [4, 1, 0]
        assert [relay["degraded"] for relay in relays] == [False, True, True]
        assert server.metric("relay_degraded_total") == 2


def side_by_side(server, decoder, count, **body):
    """The relay fields of requests that are all in work before the first step."""
    server.client.headers["authorization"] = "Bearer secret-b"
    decoder.student.gate.clear()
    with ThreadPoolExecutor(count) as pool:
        asked = [pool.submit(server.chat, **body) for _ in range(count)]
        assert eventually(lambda: server.model_router.champion.engine.pending == count)
        decoder.student.gate.set()
        return [one.result().json()["relay"] for one in asked]


def test_budget_is_shared_by_what_requests_spend_not_by_what_they_might():
    decoder = scripted_decoder(context=20_000)
    defaults = Options(max_new_tokens=8192, max_calls=64, max_call_tokens=512)
    with serving(decoder, keys="ben:secret-b:20000", defaults=defaults) as server:
        relays = side_by_side(server, decoder, 4, max_tokens=8192)
        assert [relay["ledger"]["teacher_tokens"] for relay in relays] == [4] * 4
        assert not any(relay["degraded"] for relay in relays)
        assert server.app.state.budgets.spent() == {"ben": 16}


def test_budget_that_another_request_spends_meanwhile_ends_help_and_is_flagged():
    decoder = scripted_decoder()
    with serving(decoder, keys="ben:secret-b:2") as server:
        relays = side_by_side(server, decoder, 2)
        assert sorted(relay["ledger"]["teacher_tokens"] for relay in relays) == [0, 2]
        assert sorted([call["granted"] for call in relay["calls"]] for relay in relays) == [[0], [2, 0]]
        assert [relay["degraded_by"] for relay in relays] == [["key_budget"], ["key_budget"]]


def test_answer_that_got_all_it_asked_for_is_not_degraded_by_the_last_token_of_a_budget():
    with serving(keys="ben:secret-b:4") as server:
        server.client.headers["authorization"] = "Bearer secret-b"
        relays = [server.chat().json()["relay"] for _ in range(2)]
        assert [relay["ledger"]["teacher_tokens"] for relay in relays] == [4, 0]
        assert [relay["degraded"] for relay in relays] == [False, True]
        alone = server.chat(relay={"teacher": False}).json()["relay"]
        assert (alone["degraded"], alone["degraded_by"]) == (False, [])


def test_hang_up_gives_unused_budget_back():
    decoder = scripted_decoder(LONG, seconds=0.02)
    with serving(decoder, keys="ben:secret-b:100") as server:
        server.client.headers["authorization"] = "Bearer secret-b"
        hang_up(server)
        assert eventually(lambda: server.app.state.budgets.spent() == {"ben": 0})


def test_failed_step_is_503_and_the_next_request_is_answered():
    faults = iter([None, None, RuntimeError("out of memory")])
    with serving(scripted_decoder(fault=lambda: next(faults, None))) as server:
        failed = server.chat()
        assert failed.status_code == 503
        assert "out of memory" in failed.json()["error"]["message"]
        assert server.chat().status_code == 200


def test_failed_step_ends_a_stream_with_an_error_event():
    faults = iter([None, None, RuntimeError("out of memory")])
    with serving(scripted_decoder(fault=lambda: next(faults, None))) as server:
        lines = [line for line in server.chat(stream=True).text.split("\n\n") if line]
        assert '"error"' in lines[-1]


def test_engine_that_keeps_failing_is_unhealthy():
    with serving(scripted_decoder(fault=lambda: RuntimeError("broken"))) as server:
        assert [server.chat().status_code for _ in range(4)] == [503] * 4
        assert server.client.get("/ready").status_code == 503
        assert server.client.get("/health").status_code == 503


def test_large_body_is_413():
    with serving(limits=HttpLimits(body_bytes=1000)) as server:
        answer = server.chat(user="x" * 2000)
        assert answer.status_code == 413
        assert "larger" in answer.json()["error"]["message"]


def test_other_origins_get_no_cors_headers_unless_allowed():
    asked = {"origin": "https://elsewhere.example", "access-control-request-method": "POST"}
    with serving() as server:
        assert "access-control-allow-origin" not in server.client.options("/v1/models", headers=asked).headers
    with serving(limits=HttpLimits(origins=("https://elsewhere.example",))) as server:
        assert server.client.options("/v1/models", headers=asked).headers[
            "access-control-allow-origin"] == "https://elsewhere.example"


def test_candidate_gets_its_share_and_is_tagged():
    turns = iter([0.1, 0.9, 0.1, 0.9])
    seen = []
    with serving(share=0.5, chance=lambda: next(turns),
                 watchers=[lambda deployment, request, trace, degraded: seen.append(deployment.alias)]) as server:
        other = in_memory(scripted_decoder(("No. ",)), server.model_router.champion.defaults, "2")
        server.model_router.add("candidate", other, server.loop)
        answers = [server.chat().json() for _ in range(4)]
        assert [answer["relay"]["alias"] for answer in answers] == ["candidate", "champion"] * 2
        assert seen == ["candidate", "champion"] * 2
        assert server.metric('relay_answers_total{alias="candidate"') == 2
        assert server.chat(model="relay-decoder@candidate").json()["relay"]["version"] == "2"


def test_new_champion_answers_new_requests_while_the_old_one_finishes():
    old = scripted_decoder(LONG, seconds=0.01)
    with serving(old) as server, ThreadPoolExecutor(1) as pool:
        before = server.model_router.champion
        running = pool.submit(server.chat, max_tokens=60)
        assert eventually(lambda: before.engine.pending == 1)
        server.model_router.add("champion", in_memory(scripted_decoder(("New. ",)), before.defaults, "2"), server.loop)
        assert server.chat().json()["relay"]["version"] == "2"
        assert running.result().json()["relay"]["version"] == "1"
        assert before.engine.join(60)


class HeldEncoder(PromptEncoder):
    """Encodes when it is let, and says that it was asked."""

    def __init__(self, decoder):
        super().__init__(decoder)
        self.asked, self.gate = threading.Event(), threading.Event()

    async def chat(self, messages, **how):
        await self.held()
        return await super().chat(messages, **how)

    async def text(self, text):
        await self.held()
        return await super().text(text)

    async def held(self):
        self.asked.set()
        assert await asyncio.to_thread(self.gate.wait, 60)


LATE = "word " * 1000


@pytest.mark.parametrize(("path", "body"), [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": LATE}]}),
    ("/v1/completions", {"prompt": [LATE, "word"], "max_tokens": 4}),
    ("/invocations", {"inputs": [{"prompt": LATE}, {"prompt": "word"}]})])
def test_request_whose_model_is_replaced_while_its_prompt_is_read_is_answered_by_it(path, body):
    with serving(scripted_decoder(context=20_000)) as server, ThreadPoolExecutor(1) as pool:
        before = server.model_router.champion
        before.prompt_encoder = held = HeldEncoder(server.decoder)
        asked = pool.submit(server.client.post, path, json=body)
        assert held.asked.wait(60)
        shorter = in_memory(scripted_decoder(("New. ",), context=20_000), before.defaults, "2")
        server.model_router.add("champion", shorter, server.loop)
        assert server.chat().json()["relay"]["version"] == "2"
        assert before.engine.alive
        held.gate.set()
        answer = asked.result()
        assert answer.status_code == 200
        assert "There" in answer.text
        assert before.engine.join(60)


def test_echo_of_a_model_that_is_replaced_while_it_writes_is_scored():
    models = pair()
    with serving(RelayDecoder.from_models(*models)) as server, ThreadPoolExecutor(1) as pool:
        before = server.model_router.champion
        asked = pool.submit(server.complete, prompt=[10, 11, 12], echo=True, logprobs=1, max_tokens=60, stop="zzzzzz")
        assert eventually(lambda: before.engine.pending == 1)
        server.model_router.add("champion", in_memory(scripted_decoder(), before.defaults, "2"), server.loop)
        answer = asked.result()
        assert (answer.status_code, answer.json()["relay"]["version"]) == (200, "1")


def remote_threads(others=()):
    """Threads of remote teachers; `others` are what tests before have left."""
    return [thread for thread in threading.enumerate() if thread.name == "remote-teacher" and thread not in others]


def remote_decoder(script):
    """A scripted student with a teacher at an address where nobody listens."""
    decoder = scripted_decoder(script)
    decoder.teacher = RemoteTeacher(OpenAITeacher("http://127.0.0.1:9", decoder.tokenizer))
    return decoder


def test_replaced_model_takes_its_remote_teacher_along_when_it_has_finished():
    others = remote_threads()
    old = remote_decoder(LONG)
    with serving(old) as server, ThreadPoolExecutor(1) as pool:
        before = server.model_router.champion
        old.student.gate.clear()
        running = pool.submit(server.chat, max_tokens=8)
        assert eventually(lambda: before.engine.pending == 1)
        server.model_router.add("champion", in_memory(remote_decoder(("New. ",)), before.defaults, "2"), server.loop)
        assert len(remote_threads(others)) == 2
        old.student.gate.set()
        assert running.result().status_code == 200
        assert eventually(lambda: len(remote_threads(others)) == 1)
        old.teacher.close()
    assert eventually(lambda: not remote_threads(others))


def test_threads_end_with_the_server():
    with serving() as server:
        server.chat()
    assert eventually(lambda: not [thread for thread in threading.enumerate() if thread.name == "engine-1"])
