"""Stop strings end an answer wherever they are completed: by the last token, by a delivery, across a hand-over."""

from __future__ import annotations

import pytest

from relayllm.engines.decoder import RelayDecoder
from relayllm.relay.detokenizer import Detokenizer
from relayllm.relay.options import Options
from relayllm.relay.policy import Scripted
from relayllm.relay.teacher import Delivery
from relayllm.relay.trace import Author, StopReason, Trace
from relayllm.relay.vocabulary import plain_ids
from tests.support.fakes_serving import ScriptedEngine, scripted_decoder, tokenizers

STUDENT, TEACHER = tokenizers()


class OneDelivery:
    """A teacher elsewhere whose whole answer comes at once."""

    def __init__(self, text: str, *, finished: bool) -> None:
        self._delivery = Delivery(tuple(plain_ids(TEACHER, text)), finished, over=True)

    def begin(self, row):
        pass

    def advance(self, rows, *, writing):
        return [(row, self._delivery) for row in rows]

    def release(self, row):
        pass

    def wait(self, seconds):
        pass

    def reserve(self, rows, tokens):
        pass


def decoder_with(text: str, *, finished: bool, student: str = "It is 42.") -> RelayDecoder:
    return RelayDecoder(ScriptedEngine(STUDENT, (student,)), STUDENT, OneDelivery(text, finished=finished), TEACHER)


def answer(decoder: RelayDecoder, stop: str, *, at: int = 0, n: int = 400, max_new_tokens: int = 500) -> Trace:
    return decoder.generate(["How many?"], stop=stop, max_new_tokens=max_new_tokens,
                            policy=Scripted(script={0: [(at, n)]}))[0]


def assert_stopped(trace: Trace, text: str) -> None:
    assert (trace.text, trace.stop_reason) == (text, StopReason.STOP_STRING)


def test_stop_string_completed_by_the_last_token_of_the_budget_ends_the_answer():
    size = len(plain_ids(STUDENT, "There are 3 boxes"))
    decoder = scripted_decoder(("There are 3 boxes with 4 pens.",))
    assert_stopped(decoder.generate(["How many?"], max_new_tokens=size, stop="boxes")[0], "There are 3 ")


def test_stop_string_that_the_budget_cuts_is_none():
    trace = scripted_decoder(("There are 3 boxes with 4 pens.",)).generate(["a"], max_new_tokens=3, stop="boxes")[0]
    assert trace.stop_reason is StopReason.TOKEN_BUDGET


@pytest.mark.parametrize("finished", [True, False])
def test_stop_string_in_a_delivery_ends_the_answer(finished):
    assert_stopped(answer(decoder_with("They are 12. Next: none", finished=finished), "Next:"), "They are 12. ")


def test_stop_string_in_a_delivery_that_fills_the_budget_ends_the_answer():
    text = "They are 12. Next: none"
    budget = len(plain_ids(STUDENT, text)) + 4  # and the command
    assert_stopped(answer(decoder_with(text, finished=False), "Next:", n=99, max_new_tokens=budget), "They are 12. ")


@pytest.mark.parametrize("size", [10, 47, 48, 49, 200])
@pytest.mark.parametrize("finished", [True, False])
def test_stop_string_far_before_the_end_of_a_delivery_ends_the_answer(size, finished):
    text = "They are 12. Next:" + " 7" * size
    assert_stopped(answer(decoder_with(text, finished=finished), "Next:"), "They are 12. ")


def test_stop_string_across_a_hand_over_ends_the_answer():
    at = len(plain_ids(STUDENT, "It is 4"))
    decoder = decoder_with("2. So 42" + " 7" * 60, finished=False, student="It is 42.")
    assert_stopped(answer(decoder, "is 42.", at=at), "It ")


def test_stop_string_longer_than_many_tokens_ends_the_answer():
    stop = "1 2 3 4 5 6 7 8 9 " * 20
    assert_stopped(answer(decoder_with(f"They: {stop} and more", finished=False), stop), "They: ")


def test_stop_string_beside_a_cut_character_ends_the_answer():
    assert_stopped(answer(decoder_with("Smile 🙂 Next: 🙂", finished=False), "🙂 Next"), "Smile ")


def test_cancelled_answer_with_a_stop_string_stays_cancelled():
    """By who hears of the token that completes it."""
    decoder = scripted_decoder(("There are 3 boxes with 4 pens.",))
    last = len(plain_ids(STUDENT, "There are 3 boxes")) - 1
    session = decoder.session(1)
    handle = session.submit(decoder.request("a", Options(max_new_tokens=50, stop=("boxes",))),
                            lambda event: session.cancel(handle) if event.position == last else None)
    done = []
    while not done:
        done = session.step()
    assert done[0].trace.stop_reason is StopReason.CANCELLED


@pytest.mark.parametrize("pieces", [1, 3, 1000])
@pytest.mark.parametrize("finished", [True, False])
def test_reader_sees_neither_the_stop_string_nor_what_is_behind_it(pieces, finished):
    decoder = decoder_with("They are 12. Next: none" + " 7" * 60, finished=finished)
    trace = answer(decoder, "Next:")
    text = Detokenizer(STUDENT, decoder.commands, ("Next:",))
    size = -(-len(trace.token_ids) // pieces)
    seen = "".join(text.extend([token for token, author in zip(trace.token_ids[start:start + size],
                                                               trace.authors[start:start + size], strict=True)
                                if author is not Author.COMMAND])
                   for start in range(0, len(trace.token_ids), size))
    assert seen + text.rest() == trace.text == "They are 12. "
