"""Commands in plain text: whatever a student draws from what may follow, its commands are well formed."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayllm.errors import ModelError
from relayllm.relay.command import may_call
from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.row import Pen, Row
from relayllm.relay.text_command import TextCommands, piece_of
from relayllm.relay.trace import Author

TOKENS = ("<", "Ġ<", "Ċ<", "<<", "call", "ca", "ll", ">", ">Ċ", "></", "call>", "<call>", "<call", "Ġ<call>", "x<call>",
          "</", "/", "</call>", "</call", "</c", "all", *"0123456789", "12", "007", "100", "x", "Ġx", "x<", "Ġ", "l",
          "<0x3C>", "c", "a", "<c", "ll>", "<|end|>")
VOCABULARY = {token: index for index, token in enumerate(TOKENS)}
COMMANDS = TextCommands.of_vocabulary(VOCABULARY, [VOCABULARY["<|end|>"]],
                                      [VOCABULARY[digit] for digit in "0123456789"],
                                      [VOCABULARY[token] for token in ("<", "call", ">")],
                                      [VOCABULARY[token] for token in ("</", "call", ">")])
WELL_FORMED = re.compile(r"<call>([1-9][0-9]*)</call>")


def text_of(ids) -> str:
    return "".join(piece_of(TOKENS[token]) for token in ids)


def new_row(**options) -> Row:
    given = Options(**{"max_new_tokens": 60, "max_calls": 3, "max_call_tokens": 120, **options})
    return Row(GenerationRequest((1,), given), COMMANDS, with_teacher=True)


def follow(row: Row, words) -> None:
    """Write these tokens, each of which must be allowed."""
    for word in words:
        token, mask = VOCABULARY[word], row.mask()
        assert token in mask.only if mask.only else token not in mask.never, f"{word} after {text_of(row.ids)!r}"
        row.student_wrote(token, None, False)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), budget=st.integers(1, 60), calls=st.integers(0, 3), most=st.integers(1, 150))
def test_text_command_random_walk_writes_only_whole_commands(seed, budget, calls, most):
    """A walk that likes the pieces of commands, with calls of which the teacher writes nothing."""
    chance = random.Random(seed)
    row = new_row(max_new_tokens=budget, max_calls=calls, max_call_tokens=most)
    likely = [VOCABULARY[word] for word in ("<", "Ġ<", "call", ">", "<call>", "</", "x<", "call>", "1", "x")]
    while row.stop is None:
        mask = row.mask()
        may = list(mask.only) or [token for token in range(len(TOKENS)) if token not in mask.never]
        assert may
        liked = [token for token in may if token in likely]
        row.student_wrote(chance.choice(liked if liked and chance.random() < 0.8 else may), None, False)
        if row.pen is Pen.TEACHER:
            assert row.remaining >= 1
            row.hand_back()
    found = [int(n) for n in WELL_FORMED.findall(text_of(row.ids))]
    assert found == [call.requested for call in row.calls]
    assert text_of(row.ids).count("<call>") == len(found)
    assert all(1 <= n <= most for n in found)
    assert len(found) <= calls
    commands = text_of(token for token, author in zip(row.ids, row.authors, strict=True) if author is Author.COMMAND)
    assert "".join(commands.split()) == "".join(f"<call>{n}</call>" for n in found)
    assert row.student_tokens + row.command_tokens == len(row.ids)


@pytest.mark.parametrize("before", [(), ("<",), ("<", "call"), ("<", "call", ">"), ("<", "call", ">", "1")])
def test_byte_that_a_decoder_may_lose_is_no_part_of_a_command(before):
    row = new_row()
    follow(row, ("x", *before))
    mask = row.mask()
    assert VOCABULARY["<0x3C>"] not in mask.only if mask.only else VOCABULARY["<0x3C>"] in mask.never


@pytest.mark.parametrize("words", [
    ("<", "call", ">", "1", "2", "</", "call", ">"), ("Ġ<call>", "100", "</call>"), ("Ċ<", "ca", "ll", ">", "9", "</c",
                                                                                    "all", ">"),
    ("<", "call>", "12", "<", "/", "c", "a", "l", "ll>"[1:2], ">"), ("<", "<", "call", ">", "3", "</call", ">")])
def test_text_command_of_any_pieces_passes_the_pen(words):
    row = new_row()
    follow(row, ("x", *words))
    assert row.pen is Pen.TEACHER
    assert row.calls[0].requested == int(WELL_FORMED.search(text_of(row.ids))[1])
    assert row.authors.count(Author.COMMAND) == row.command_tokens
    assert text_of(row.unsent) == text_of(row.ids)[:text_of(row.ids).index("<call>")].rstrip()


@pytest.mark.parametrize("words", [("x<", "call>"), ("x<", "call", ">"), ("<", "call", ">Ċ"), ("<", "call", "></"),
                                   ("x<call>",), ("<", "call>", "0"), ("<", "call>", "007"), ("<", "call>", "x"),
                                   ("<", "call>", "</"), ("<", "call>", "1", "</", "x"),
                                   ("<", "call>", "1", "</", "1")])
def test_text_command_that_is_not_whole_cannot_be_written(words):
    row = new_row()
    follow(row, words[:-1])
    mask, last = row.mask(), VOCABULARY[words[-1]]
    assert last not in mask.only if mask.only else last in mask.never


def test_text_command_is_banned_when_no_call_may_begin():
    row = new_row(max_calls=0)
    follow(row, ("<", "call"))
    assert VOCABULARY[">"] in row.mask().never
    assert VOCABULARY["<call>"] in row.mask().never


def test_text_that_only_begins_like_a_command_is_the_students():
    row = new_row()
    follow(row, ("x", "Ġ<", "1", "2", "<", "c", "x"))
    assert set(row.authors) == {Author.STUDENT}
    assert row.certain == row.position


def test_text_that_may_be_a_command_waits_until_it_is_certain():
    row = new_row()
    follow(row, ("x", "<", "call"))
    assert row.certain == 1
    follow(row, (">",))
    assert row.certain == 4
    assert row.authors == [Author.STUDENT] + [Author.COMMAND] * 3


def test_text_of_the_teacher_is_no_part_of_a_command():
    row = new_row()
    follow(row, ("<call>", "1", "</call>"))
    row.teacher_wrote([VOCABULARY["<"], VOCABULARY["call"]], finished=False)
    row.hand_back()
    follow(row, (">", "1", "</", "call", ">"))
    assert len(row.calls) == 1
    assert row.authors[-5:] == [Author.STUDENT] * 5


def test_text_command_budget_keeps_room_for_a_token_of_the_teacher():
    for budget in range(1, 12):
        row = new_row(max_new_tokens=budget)
        begins = VOCABULARY["<call>"] not in row.mask().never
        assert begins == (may_call(budget, 3) and budget >= 4)


@pytest.mark.parametrize("n", [1, 9, 10, 120])
def test_text_command_written_by_a_rule_is_read_back(n):
    assert COMMANDS.read(COMMANDS.write(n)) == n
    assert COMMANDS.read(COMMANDS.write(n)[:-1]) is None


def test_text_command_that_no_tokens_spell_is_an_error():
    few = {token: index for index, token in enumerate(("<", "x", *"0123456789"))}
    with pytest.raises(ModelError, match="no tokens of this vocabulary spell"):
        TextCommands.of_vocabulary(few, [], range(2, 12), [0], [0])
