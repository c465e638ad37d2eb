"""A model in this process: rows that come, go, and change slots say what a forward without a cache says."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayllm import RelayDecoder
from relayllm.engines.local import LocalEngine
from relayllm.relay.command import ALL_DIGITS
from relayllm.relay.engine import StepInput
from relayllm.relay.options import Options
from relayllm.relay.policy import Scripted
from tests.support.reference import best, reference
from tests.support.small_models import pair

PROMPTS = st.one_of(st.just([7]), st.lists(st.integers(5, 90), min_size=1, max_size=1),
                    st.lists(st.integers(5, 90), min_size=2, max_size=12))
ARRIVALS = st.lists(st.tuples(PROMPTS, st.integers(0, 4)), min_size=1, max_size=7)


def engine_of(*, static: bool = False) -> LocalEngine:
    return LocalEngine(pair()[2], name="teacher", ends=(), cuda_graphs=static)


def say(engine: LocalEngine, fresh: dict[int, list[int]]) -> dict[int, int]:
    said = engine.step([StepInput(row, ids, ALL_DIGITS) for row, ids in fresh.items()])
    return dict(zip(fresh, said.tokens, strict=True))


@pytest.mark.parametrize("static", [False, True])
def test_prompt_of_one_token_in_a_slot_the_cache_has_not_yet_is_read(static):
    engine = engine_of(static=static)
    first = engine.open()
    say(engine, {first: [5, 6, 7]})
    new = engine.open()
    assert say(engine, {new: [9]})[new] == best(pair()[2], [9], ())


@pytest.mark.parametrize("static", [False, True])
def test_prompts_of_one_token_are_the_first_that_an_engine_reads(static):
    engine = engine_of(static=static)
    rows = [engine.open() for _ in range(3)]
    said = say(engine, {rows[2]: [9], rows[1]: [11]})
    assert list(said.values()) == [best(pair()[2], ids, ()) for ids in ([9], [11])]


@pytest.mark.parametrize("static", [False, True])
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_rows_that_come_and_go_say_what_a_forward_without_a_cache_says(static, data):
    """Any rows bring any prompts in any step; some are closed and their slots taken again."""
    engine, views = engine_of(static=static), {}
    for _ in range(data.draw(st.integers(1, 7))):
        for prompt in data.draw(st.lists(PROMPTS, max_size=3)):
            views[engine.open()] = (prompt, 0)
        asked = [row for row in views if data.draw(st.booleans())]
        fresh = {row: views[row][0][views[row][1]:] for row in asked}
        for row, token in (say(engine, fresh) if fresh else {}).items():
            view = views[row][0]
            assert token == best(pair()[2], view, ())
            views[row] = ([*view, token, *data.draw(st.lists(st.integers(5, 90), max_size=2))], len(view))
        for row in [row for row in views if data.draw(st.integers(0, 4)) == 0]:
            engine.close(row)
            del views[row]


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(ARRIVALS, st.integers(2, 9), st.booleans())
def test_session_with_more_slots_than_rows_writes_the_reference(arrivals, slots, static):
    """Prompts of one token among others come while others run, in slots that no row has had."""
    student, tokenizer, teacher, theirs = pair()
    decoder = RelayDecoder.from_models(student, tokenizer, teacher, theirs, cuda_graphs=static)
    session, prompts, done = decoder.session(slots), {}, []
    policy = Scripted(script={index: [(index % 3, 2), (6, 1)] for index in range(len(arrivals))})
    options = Options(max_new_tokens=14, max_calls=2, policy=policy)
    for row, (prompt, steps) in enumerate(arrivals):
        session.submit(decoder.request(prompt, options, row=row))
        prompts[row] = prompt
        for _ in range(steps):
            done += session.step()
    while session.busy:
        done += session.step()
    assert len(done) == len(arrivals)
    for trace in (one.trace for one in done):
        prompt = prompts[trace.row]
        ids, _ = reference(student, tokenizer, teacher, tokenizer, prompt, prompt, max_new_tokens=14, max_calls=2,
                           max_call_tokens=99, script=policy.script[trace.row], student_ends=decoder.student.ends,
                           teacher_ends=decoder.teacher.engine.ends)
        assert list(trace.token_ids) == ids


def test_forwards_are_timed_while_somebody_measures():
    engine = engine_of()
    row = engine.open()
    say(engine, {row: [5, 6, 7]})
    assert engine.forward_seconds == 0
    engine.measuring = True
    said = engine.step([StepInput(row, [8], ALL_DIGITS)])
    measured = engine.forward_seconds
    assert 0 < measured < said.seconds
    engine.measuring = False
    say(engine, {row: said.tokens})
    assert engine.forward_seconds == measured
