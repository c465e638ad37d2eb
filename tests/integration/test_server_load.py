"""Sixteen clients at once: no error, the decoder's own answers, and no more asked of the models than it asks itself."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from relayllm import RelayDecoder
from tests.support.fakes_serving import scripted_decoder, serving
from tests.support.small_models import pair
from tests.support.waiting import eventually

CLIENTS = 16
ASKED = {"max_tokens": 40, "temperature": 1.0}
LEDGER = ("student_tokens", "command_tokens", "teacher_tokens", "student_prefilled", "teacher_prefilled",
          "teacher_cached")


class CountingEngine:
    """A real engine that counts its forwards, and waits while its gate is shut."""

    def __init__(self, engine) -> None:
        self.engine, self.forwards = engine, 0
        self.gate = threading.Event()
        self.gate.set()

    def __getattr__(self, name):
        return getattr(self.engine, name)

    def step(self, inputs, **how):
        self.gate.wait()
        self.forwards += 1
        return self.engine.step(inputs, **how)


@pytest.fixture(scope="module")
def decoder():
    made = RelayDecoder.from_models(*pair())
    made.student = CountingEngine(made.student)
    return made


def alone(decoder):
    """The same requests through the decoder itself: its traces, and its forwards of the student."""
    before = decoder.student.forwards
    session = decoder.session(slots=CLIENTS)
    for seed in range(CLIENTS):
        options = decoder_options()
        session.submit(decoder.request([10, 11, 12, 13 + seed], options, seed=seed))
    done = {}
    while session.busy:
        done |= {finished.handle: finished.trace for finished in session.step()}
    return [done[handle] for handle in sorted(done)], decoder.student.forwards - before


def decoder_options():
    from relayllm.relay.options import Options

    return Options(max_new_tokens=ASKED["max_tokens"], temperature=ASKED["temperature"], max_calls=2, call_bias=12.0)


def together(server, decoder, **more):
    """Sixteen clients, all in work before the first forward is over; their answers, and forwards of the student."""
    decoder.student.gate.clear()
    before = decoder.student.forwards
    bodies = [{"prompt": [10, 11, 12, 13 + seed], "seed": seed, "relay": {"max_calls": 2, "call_bias": 12.0}, **ASKED,
               **more} for seed in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        asked = [pool.submit(server.client.post, "/v1/completions", json=body) for body in bodies]
        assert eventually(lambda: server.model_router.champion.engine.pending == CLIENTS)
        decoder.student.gate.set()
        return [one.result() for one in asked], decoder.student.forwards - before


def test_sixteen_clients_cost_the_models_what_the_decoder_alone_costs_them(decoder):
    traces, forwards = alone(decoder)
    with serving(decoder, slots=CLIENTS) as server:
        answers, served = together(server, decoder)
        streams, streamed = together(server, decoder, stream=True)
    assert [answer.status_code for answer in answers + streams] == [200] * 2 * CLIENTS
    assert [answer.json()["choices"][0]["text"] for answer in answers] == [trace.text for trace in traces]
    for answer, trace in zip(answers, traces, strict=True):  # tokens read at a hand-over are the new ones only
        told = answer.json()["relay"]["ledger"]
        assert {name: told[name] for name in LEDGER} == {name: getattr(trace.ledger, name) for name in LEDGER}
    assert sum(len(trace.calls) for trace in traces) > CLIENTS
    assert forwards < served <= forwards + 2  # the first request's first forward begins before the others are there
    assert forwards < streamed <= forwards + 2


def test_sixteen_clients_free_every_slot(decoder):
    with serving(decoder, slots=CLIENTS) as server:
        together(server, decoder)
        assert server.idle()
        assert server.metric("relay_slots_running") == 0


def test_concurrent_requests_share_the_batch():
    decoder = scripted_decoder()
    decoder.student = CountingEngine(decoder.student)
    with serving(decoder) as server, ThreadPoolExecutor(8) as pool:
        server.chat()
        one = decoder.student.forwards
        decoder.student.gate.clear()
        asked = [pool.submit(server.chat) for _ in range(8)]
        assert eventually(lambda: server.model_router.champion.engine.pending == 8)
        decoder.student.gate.set()
        assert len({answer.result().json()["choices"][0]["message"]["content"] for answer in asked}) == 1
        assert decoder.student.forwards - one <= one + 8
