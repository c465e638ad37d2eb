"""What the student wrote reaches a teacher with another tokenizer whole, in order, and once."""

from __future__ import annotations

import random

import pytest

from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.row import Row
from relayllm.relay.vocabulary import TranslatedVocabulary, continuation_ids, continuation_text, plain_ids
from tests.support.plain_relay import COMMANDS, ByteTokenizer, OtherTokenizer, SpacedTokenizer

STUDENT, TEACHER = ByteTokenizer(), OtherTokenizer()
TEXT = "Bjørn has 3 😀 and 数学 is 12 🙂🙂."


class TeacherView:
    """A row whose student writes, and what of it reaches the teacher."""

    def __init__(self) -> None:
        self.row = Row(GenerationRequest((1,), Options(), teacher_prompt_ids=()), COMMANDS, with_teacher=True)
        self.counts: list[int] = []

    def write(self, ids):
        self.row.unsent += ids
        self.counts.append(TranslatedVocabulary(STUDENT, TEACHER).to_teacher(self.row))

    @property
    def text(self) -> str:
        return TEACHER.decode(self.row.teacher_pending)


def teacher_view(*runs) -> TeacherView:
    view = TeacherView()
    for run in runs:
        view.write(run)
    return view


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_character_cut_in_two_is_told_with_its_rest(kept):
    ids = plain_ids(STUDENT, "pens 😀")
    view = teacher_view(ids[:-kept])
    assert view.text.rstrip() == "pens"
    view.write(ids[-kept:])
    assert view.text == "pens 😀"


@pytest.mark.parametrize("seed", range(20))
def test_text_cut_anywhere_is_told_whole(seed):
    chance, ids = random.Random(seed), plain_ids(STUDENT, TEXT)
    cuts = sorted(chance.sample(range(1, len(ids)), 6))
    view = teacher_view(*(ids[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(ids)], strict=True)))
    assert view.text == TEXT
    assert sum(view.counts) == len(view.row.teacher_pending)
    assert view.row.unsent == []


def test_whole_text_waits_for_nothing():
    view = teacher_view(plain_ids(STUDENT, "pens"), plain_ids(STUDENT, " and boxes"))
    assert (view.text, view.row.unsent) == ("pens and boxes", [])


def test_half_a_character_whose_rest_never_comes_is_told_once():
    half = plain_ids(STUDENT, "😀")[:1]
    assert teacher_view(half, plain_ids(STUDENT, "ok"), plain_ids(STUDENT, " then")).text == "\ufffdok then"


def test_half_a_character_at_the_end_of_an_answer_is_not_told():
    view = teacher_view(plain_ids(STUDENT, "pens 😀")[:-1], [])
    assert view.text.rstrip() == "pens"


def test_bytes_that_are_no_character_do_not_pile_up():
    """A token of them waits as if more came, three at most: longer no character is."""
    view, wrong = TeacherView(), plain_ids(STUDENT, "😀")[-1:]
    for _ in range(10):
        view.write(wrong)
        assert len(view.row.unsent) <= 3
    view.write(plain_ids(STUDENT, "ok"))
    assert view.text.count("\ufffd") == 10
    assert view.text.endswith("ok")


@pytest.mark.parametrize("tokenizer", [ByteTokenizer(), OtherTokenizer(), SpacedTokenizer()])
@pytest.mark.parametrize("cut", range(len("pens and  12 🙂")))
def test_text_that_goes_on_gains_and_loses_no_space(tokenizer, cut):
    text = "pens and  12 🙂"
    ids = [*plain_ids(tokenizer, text[:cut]), *continuation_ids(tokenizer, text[cut:])] if cut else plain_ids(
        tokenizer, text)
    assert tokenizer.decode(ids) == text
    assert continuation_text(tokenizer, continuation_ids(tokenizer, text[cut:])) == text[cut:]
