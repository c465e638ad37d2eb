"""The running batch: what streams get when, and what a failing step costs."""

from __future__ import annotations

import pytest

from relayllm.relay.options import Options
from relayllm.serving.engine.requests import EngineRequest, RequestOutputCollector
from relayllm.serving.engine.running_batch import FAILURES, FLUSH_SECONDS, RunningBatch
from tests.support.fakes_serving import scripted_decoder

LONG = ("word " * 100,)


class Clock:
    """Goes on by as much as it is told, at every step."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 100.0

    def __call__(self) -> float:
        return self.now


def run(decoder, *, streams=1, tokens=100, clock=None):
    """All outputs of streams that run together, step by step."""
    clock = clock or Clock(0.001)
    batch = RunningBatch(lambda: decoder.session(slots=8), lambda request, trace: None, clock)
    for index in range(streams):
        request = EngineRequest(decoder.request("x", Options(max_new_tokens=tokens)), RequestOutputCollector(), index,
                                streamed=True)
        assert batch.add(request) == []
    steps = []
    while batch.busy and batch.fault is None:
        clock.now += clock.seconds
        steps.append(batch.step())
    return steps


@pytest.mark.parametrize("per_step", [0.0005, 0.002, 0.01])
def test_batch_wakes_a_stream_once_per_pause_and_not_per_token(per_step):
    woken = [step for step in run(scripted_decoder(LONG), clock=Clock(per_step)) if step]
    assert len(woken) <= 2 + 100 * per_step / FLUSH_SECONDS + 1  # the first token, the end, and each pause


def test_batch_tells_all_streams_in_the_same_wake_up():
    woken = [step for step in run(scripted_decoder(LONG), streams=8) if step]
    assert len(woken) <= 2 + 100 * 0.001 / FLUSH_SECONDS + 1
    assert all(len(step) == 8 for step in woken)


def test_batch_gives_the_first_token_at_once_and_every_token_once():
    decoder = scripted_decoder()
    outputs = [output for step in run(decoder) for output in step]
    assert len(outputs[0].delta.ids) == 1
    ids = [token for output in outputs for token in output.delta.ids]
    assert tuple(ids) == outputs[-1].trace.token_ids


def test_batch_whose_step_fails_loses_its_requests_and_goes_on():
    faults = iter([None, RuntimeError("out of memory")])
    decoder = scripted_decoder(fault=lambda: next(faults, None))
    batch = RunningBatch(lambda: decoder.session(slots=2), lambda request, trace: None)
    batch.add(EngineRequest(decoder.request("x", Options()), RequestOutputCollector()))
    batch.step()
    [lost] = batch.step()
    assert "out of memory" in str(lost.error)
    assert batch.fault is None
    assert decoder.student.rows == 0
    batch.add(EngineRequest(decoder.request("x", Options()), RequestOutputCollector()))
    while batch.busy:
        outputs = batch.step()
    assert outputs[0].trace is not None


def test_batch_gives_up_after_failures_in_a_row():
    decoder = scripted_decoder(fault=lambda: RuntimeError("broken"))
    batch = RunningBatch(lambda: decoder.session(slots=2), lambda request, trace: None)
    for number in range(FAILURES):
        assert (batch.fault is None) is (number < FAILURES)
        batch.add(EngineRequest(decoder.request("x", Options()), RequestOutputCollector()))
        assert len(batch.step()) == 1
    assert "broken" in str(batch.fault)


def test_batch_that_cannot_open_another_session_tells_those_that_it_lost():
    decoder = scripted_decoder(fault=lambda: RuntimeError("broken"))
    sessions = iter([decoder.session(slots=2)])
    batch = RunningBatch(lambda: next(sessions), lambda request, trace: None)
    batch.add(EngineRequest(decoder.request("x", Options()), RequestOutputCollector()))
    assert len(batch.step()) == 1
    assert isinstance(batch.fault, StopIteration)


def test_batch_frees_the_slot_of_a_cancelled_request():
    decoder = scripted_decoder(LONG)
    counted = []
    batch = RunningBatch(lambda: decoder.session(slots=2), lambda request, trace: counted.append(trace))
    request = EngineRequest(decoder.request("x", Options()), RequestOutputCollector())
    batch.add(request)
    batch.step()
    assert batch.cancel(request)
    assert not batch.cancel(request)
    assert batch.step() == []
    assert (decoder.student.rows, batch.busy, len(counted)) == (0, False, 1)
