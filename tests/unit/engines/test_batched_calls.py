"""Calls that gather before the teacher serves them: other batches, the same tokens."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayllm import RelayDecoder
from relayllm.relay.batching import DynamicBatching
from relayllm.relay.options import Options
from relayllm.relay.policy import Scripted
from relayllm.relay.teacher import LocalTeacher
from relayllm.relay.trace import Author
from tests.support.plain_relay import NO_BATCHING
from tests.support.small_models import pair

WORDS = ["There", "are", "pens", "in", "12", "boxes", "ok."]
CALLS = st.lists(st.tuples(st.integers(0, 20), st.sampled_from([1, 2, 5])), max_size=3).map(sorted)


def decoder_that_gathers(batching: DynamicBatching) -> RelayDecoder:
    decoder = RelayDecoder.from_models(*pair())
    decoder.teacher = LocalTeacher(decoder.teacher.engine, batching)
    return decoder


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(CALLS, min_size=2, max_size=6), st.floats(0, 1), st.integers(0, 30), st.sampled_from([0.0, 1.0]))
def test_tokens_do_not_depend_on_how_calls_gather(scripts, share, steps, temperature):
    options = {"max_new_tokens": 28, "max_calls": 3, "temperature": temperature, "teacher_temperature": temperature,
               "seed": 5, "policy": Scripted(script=dict(enumerate(scripts)))}
    prompts = [" ".join(WORDS[:1 + index]) for index in range(len(scripts))]
    at_once = decoder_that_gathers(NO_BATCHING).generate(prompts, **options)
    gathered = decoder_that_gathers(DynamicBatching(share, steps)).generate(prompts, **options)
    assert [trace.token_ids for trace in gathered] == [trace.token_ids for trace in at_once]
    assert [trace.authors for trace in gathered] == [trace.authors for trace in at_once]


def steps_until_the_teacher_writes(decoder: RelayDecoder, rows: int, length: int = 60) -> int:
    """Steps from row 0's command to its first token of the teacher, while the other rows only write."""
    seen: list[Author] = []
    session = decoder.session(rows)
    for row in range(rows):
        options = Options(max_new_tokens=length, policy=Scripted(script={0: [(3, 2)]}))
        listen = (lambda event: seen.append(event.author)) if row == 0 else None
        session.submit(decoder.request("There are pens", options, row=row), listen)
    steps = 0
    while Author.TEACHER not in seen:
        session.step()
        steps += Author.COMMAND in seen or seen.count(Author.STUDENT) >= 3
    return steps


def test_row_that_runs_alone_is_not_delayed():
    assert (steps_until_the_teacher_writes(decoder_that_gathers(DynamicBatching(min_share=1.0, max_queue_delay=50)), 1)
            == steps_until_the_teacher_writes(decoder_that_gathers(NO_BATCHING), 1))


@pytest.mark.parametrize("steps", [1, 8])
def test_call_among_many_writers_waits_so_many_steps_at_most(steps):
    at_once = steps_until_the_teacher_writes(decoder_that_gathers(NO_BATCHING), 9)
    assert steps_until_the_teacher_writes(decoder_that_gathers(DynamicBatching(1.0, steps)), 9) == at_once + steps


def test_events_of_a_row_come_in_order_while_calls_gather():
    decoder = decoder_that_gathers(DynamicBatching(min_share=1.0, max_queue_delay=6))
    script = {0: [(2, 3), (9, 1)], 1: [(5, 2)], 2: []}
    session = decoder.session(3)
    events: dict[int, list] = {0: [], 1: [], 2: []}
    for row, heard in events.items():
        options = Options(max_new_tokens=26, policy=Scripted(script=script))
        session.submit(decoder.request("There are", options, row=row), heard.append)
    done = []
    while session.busy:
        done += session.step()
    for finished in done:
        heard = events[finished.trace.row]
        assert [event.position for event in heard] == list(range(len(finished.trace.token_ids)))
        assert [event.token_id for event in heard] == list(finished.trace.token_ids)
