"""Commands in plain text on real vocabularies, and a decoder whose student writes them."""

from __future__ import annotations

import random
import re
from functools import cache

import pytest

from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.text_commands import text_commands
from relayllm.errors import ConfigError
from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.row import Pen, Row
from relayllm.relay.teacher import LocalTeacher
from relayllm.relay.trace import Author, StopReason
from tests.support.fakes_serving import ScriptedEngine
from tests.support.real_models import REAL_TOKENIZERS, real_tokenizer
from tests.support.small_models import base_tokenizer, other_tokenizer

WELL_FORMED = re.compile(r"<call>([1-9][0-9]*)</call>")


@cache
def commands_of(kind: str):
    tokenizer = {"tiny": base_tokenizer, "other": other_tokenizer}.get(kind, lambda: real_tokenizer(kind))()
    return tokenizer, text_commands(tokenizer)


def new_row(commands, **options) -> Row:
    return Row(GenerationRequest((1,), Options(**options)), commands, with_teacher=True)


@pytest.mark.parametrize("kind", ["other", *REAL_TOKENIZERS])
def test_text_command_in_a_real_vocabulary_is_accepted_as_the_tokenizer_writes_it(kind):
    tokenizer, commands = commands_of(kind)
    row = new_row(commands, max_new_tokens=60)
    for token in tokenizer.encode("We have x < 12 pens <call>7</call>", add_special_tokens=False):
        mask = row.mask()
        assert token in mask.only if mask.only else token not in mask.never
        row.student_wrote(token, None, False)
    assert (row.pen, row.calls[0].requested) == (Pen.TEACHER, 7)
    assert tokenizer.decode(row.unsent).rstrip() == "We have x < 12 pens"


@pytest.mark.parametrize("kind", ["other", *REAL_TOKENIZERS])
@pytest.mark.parametrize("seed", range(20))
def test_text_command_random_walk_in_a_real_vocabulary_is_well_formed(kind, seed):
    tokenizer, commands = commands_of(kind)
    chance, row = random.Random(seed), new_row(commands, max_new_tokens=200, max_calls=5)
    vocabulary = sorted(commands.pieces.items())
    pieces = [token for token, text in vocabulary if set(text) & set("<>") and len(text) < 8]
    pieces += [token for token, text in vocabulary if text.strip() and text in "<call>"] * 40
    pieces += [index for token, index in sorted(tokenizer.get_vocab().items()) if token.startswith("<0x")]
    while row.stop is None:
        mask = row.mask()
        may = list(mask.only) or [token for token in chance.sample(pieces, 200) if token not in mask.never]
        may += [token for token in commands.spelling[0] if not mask.only and token not in mask.never] * 20
        row.student_wrote(chance.choice(may), None, False)
        if row.pen is Pen.TEACHER:
            row.hand_back()
    text = tokenizer.decode(row.ids)
    assert [int(n) for n in WELL_FORMED.findall(text)] == [call.requested for call in row.calls]
    assert text.count("<call>") == len(row.calls)


@pytest.fixture
def decoder():
    """Student and teacher say what they are told to; the student has no command tokens."""
    tokenizer = base_tokenizer()
    student = ScriptedEngine(tokenizer, ("There are x < 3 pens <call>4</call>. So <call>2</call>.",))
    return RelayDecoder(student, tokenizer, LocalTeacher(ScriptedEngine(tokenizer, (" 12" * 20,))), tokenizer,
                        commands=text_commands(tokenizer))


def test_decoder_serves_commands_in_text(decoder):
    trace = decoder.generate(["How many?"], max_new_tokens=80)[0]
    assert trace.stop_reason is StopReason.FINISHED
    assert [(call.requested, call.delivered) for call in trace.calls] == [(4, 4), (2, 2)]
    assert "call" not in trace.text
    assert "x < 3 pens" in trace.text
    assert trace.ledger.command_tokens == trace.authors.count(Author.COMMAND) > 0


def test_decoder_streams_commands_in_text_as_commands(decoder):
    events = list(decoder.stream("How many?", max_new_tokens=80))
    shown = "".join(event.text for event in events if event.author is not Author.COMMAND)
    assert shown == decoder.generate(["How many?"], max_new_tokens=80)[0].text
    assert "".join(event.text for event in events if event.author is Author.COMMAND) == "<call>4</call><call>2</call>"
    assert [event.position for event in events] == list(range(len(events)))


def test_decoder_takes_no_command_from_the_prompt(decoder):
    trace = decoder.generate(["<call>9</call>"], max_new_tokens=80)[0]
    assert [call.requested for call in trace.calls] == [4, 2]


def test_decoder_refuses_a_call_bias_where_commands_are_text(decoder):
    with pytest.raises(ConfigError, match="call_bias"):
        decoder.generate(["How many?"], call_bias=1.0)
