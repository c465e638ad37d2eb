"""Text as it is written: token by token or in runs, the reader sees the same."""

import random

import pytest

from relayllm.relay.detokenizer import Detokenizer, read
from relayllm.relay.trace import Author
from relayllm.relay.vocabulary import plain_ids
from tests.support.plain_relay import COMMANDS, ByteTokenizer

TEXT = "Ann has 3 boxes 😀 and Bjørn naïve 7 — 数学 is 12.\nThe answer is 42."


@pytest.fixture(scope="module")
def words():
    return ByteTokenizer()


def told(words, runs, stop=()):
    text = Detokenizer(words, COMMANDS, stop)
    return [text.extend(run) for run in runs], text.rest()


def cut(ids, seed):
    chance, runs, at = random.Random(seed), [], 0
    while at < len(ids):
        size = chance.randrange(1, 9)
        runs.append(ids[at:at + size])
        at += size
    return runs


@pytest.mark.parametrize("seed", range(20))
def test_runs_of_any_length_tell_the_text(words, seed):
    ids = plain_ids(words, TEXT)
    pieces, rest = told(words, cut(ids, seed))
    assert "".join(pieces) + rest == TEXT == read(words, ids)
    assert "\ufffd" not in "".join(pieces)


def test_runs_tell_what_single_tokens_tell(words):
    ids = plain_ids(words, TEXT)
    single = Detokenizer(words, COMMANDS)
    assert "".join(single.push(token, Author.STUDENT) for token in ids) == "".join(told(words, [ids])[0])


def test_half_a_character_holds_back_no_more_than_itself(words):
    ids = plain_ids(words, "pens 😀")
    (before, after), _ = told(words, [ids[:-1], ids[-1:]])
    assert (before, after) == ("pens ", "😀")


@pytest.mark.parametrize("seed", range(5))
def test_stop_string_cut_over_runs_is_never_told(words, seed):
    pieces, rest = told(words, cut(plain_ids(words, TEXT), seed), stop=("answer is",))
    assert "".join(pieces) + rest == TEXT[:TEXT.index("answer is")]
