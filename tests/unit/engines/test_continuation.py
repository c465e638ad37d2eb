"""Continuations: an answer that begins with a prefix goes on as if nothing had been cut."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayllm import RelayDecoder
from relayllm.errors import DataError
from relayllm.relay.options import Options
from relayllm.relay.policy import CallAtOnce, Scripted
from relayllm.relay.trace import Author, Trace
from relayllm.relay.vocabulary import plain_ids
from tests.support.small_models import pair

MESSAGES = [{"role": "user", "content": "There are 12 pens in 3 boxes."}]
CALLS = st.lists(st.tuples(st.integers(0, 14), st.sampled_from([1, 2, 5])), max_size=3).map(sorted)


def decoder_of(same: bool) -> RelayDecoder:
    return RelayDecoder.from_models(*pair("qwen3", same))


class Listening:
    """A teacher that notes what each call lets it read."""

    def __init__(self, teacher):
        self._teacher, self.told = teacher, []

    def begin(self, row):
        self.told.append(list(row.teacher_pending))
        self._teacher.begin(row)

    def __getattr__(self, name):
        return getattr(self._teacher, name)


def answer(decoder: RelayDecoder, options: Options, prefix=None, seed: int = 3) -> Trace:
    more = {} if prefix is None else {"prefix": prefix}
    [(_, trace)] = decoder.complete([decoder.request(MESSAGES, options, seed=seed, row=5, sample=2, **more)])
    return trace


def cuts(trace: Trace) -> list[int]:
    """Positions that are not inside a command."""
    inside = {place for call in trace.calls for place in range(call.position + 1, len(trace.token_ids))
              if all(author is Author.COMMAND for author in trace.authors[call.position:place + 1])}
    return [place for place in range(len(trace.token_ids)) if place not in inside]


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(CALLS, st.sampled_from([0.0, 1.0]), st.data())
def test_continuation_from_where_the_student_holds_the_pen_is_the_rest_of_the_answer(calls, temperature, data):
    decoder = decoder_of(same=True)
    options = Options(max_new_tokens=20, temperature=temperature, policy=Scripted(script={5: calls}))
    whole = answer(decoder, options)
    place = data.draw(st.sampled_from([one for one in cuts(whole) if whole.authors[one] is not Author.TEACHER]))
    again = answer(decoder, options, whole.prefix(place))
    assert (again.token_ids, again.authors, again.text) == (whole.token_ids, whole.authors, whole.text)
    assert [(call.position, call.delivered) for call in again.calls] == [
        (call.position, call.delivered) for call in whole.calls]
    assert again.ledger.completion_tokens == len(again.token_ids)


@pytest.mark.parametrize("same", [True, False])
def test_teacher_is_told_the_messages_and_the_prefix_without_its_commands(same):
    decoder = decoder_of(same)
    whole = answer(decoder, Options(max_new_tokens=24, policy=Scripted(script={5: [(4, 3)]})))
    place = next(index for index in range(23, 0, -1) if whole.authors[index] is Author.STUDENT)
    decoder.teacher = listening = Listening(decoder.teacher)
    answer(decoder, Options(max_new_tokens=30, policy=CallAtOnce(n=2)), whole.prefix(place))
    told = [token for token, author in zip(whole.token_ids[:place], whole.authors, strict=False)
            if author is not Author.COMMAND]
    tokenizer, theirs = decoder.tokenizer, decoder.teacher_tokenizer
    prompt = decoder.request(MESSAGES, Options()).teacher_prompt_ids or decoder.request(MESSAGES, Options()).prompt_ids
    text = tokenizer.decode(told, skip_special_tokens=True)
    if same:
        assert listening.told == [[*prompt, *told]]
    elif not text.endswith("\ufffd"):
        assert listening.told == [[*prompt, *plain_ids(theirs, text)]]


@pytest.mark.parametrize("same", [True, False])
def test_continuation_calls_at_its_start_and_counts_the_prefix_in_its_budget(same):
    decoder = decoder_of(same)
    whole = answer(decoder, Options(max_new_tokens=16, max_calls=0))
    trace = answer(decoder, Options(max_new_tokens=16, policy=CallAtOnce(n=2)), whole.prefix(6))
    assert trace.token_ids[:6] == whole.token_ids[:6]
    assert [call.position for call in trace.calls] == [6]
    assert len(trace.token_ids) <= 16
    assert len(trace.logprobs) == len(trace.authors) == len(trace.token_ids)


def test_continuation_without_a_teacher_after_a_call_makes_no_other():
    decoder = decoder_of(same=True)
    whole = answer(decoder, Options(max_new_tokens=24, policy=Scripted(script={5: [(2, 3), (12, 3)]})))
    second = whole.calls[1].position
    trace = answer(decoder, Options(max_new_tokens=24, teacher_enabled=False), whole.prefix(second))
    assert [call.position for call in trace.calls] == [whole.calls[0].position]
    assert Author.TEACHER not in trace.authors[second:]


def test_prefix_counts_its_calls_in_the_budget_of_calls():
    decoder = decoder_of(same=True)
    whole = answer(decoder, Options(max_new_tokens=24, policy=Scripted(script={5: [(2, 3)]})))
    options = Options(max_new_tokens=24, max_calls=1, policy=CallAtOnce(n=2))
    assert len(answer(decoder, options, whole.prefix(12)).calls) == 1


def test_prefix_that_ends_inside_a_command_raises():
    whole = answer(decoder_of(True), Options(max_new_tokens=24, policy=Scripted(script={5: [(2, 3)]})))
    with pytest.raises(ValueError, match="inside a command"):
        whole.prefix(whole.calls[0].position + 1)


def test_prefix_as_long_as_the_budget_raises_with_both_numbers():
    decoder = decoder_of(True)
    whole = answer(decoder, Options(max_new_tokens=12, max_calls=0))
    with pytest.raises(DataError, match=r"12 tokens and max_new_tokens is 12"):
        answer(decoder, Options(max_new_tokens=12), whole.prefix(12))


def test_stream_of_events_begins_behind_the_prefix():
    decoder = decoder_of(True)
    whole = answer(decoder, Options(max_new_tokens=12, max_calls=0))
    session, events = decoder.session(1), []
    session.submit(decoder.request(MESSAGES, Options(max_new_tokens=12, max_calls=0), seed=3, row=5, sample=2,
                                   prefix=whole.prefix(5)), events.append)
    while session.busy:
        session.step()
    assert [event.position for event in events][:2] == [5, 6]
    assert whole.text.endswith("".join(event.text for event in events))
