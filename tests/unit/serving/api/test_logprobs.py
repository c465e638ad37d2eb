"""From tokens to OpenAI's answers."""

from __future__ import annotations

import pytest

from relayllm.relay.trace import Author
from relayllm.relay.vocabulary import plain_ids
from relayllm.serving.api.logprobs import chat_logprobs
from relayllm.serving.engine.requests import TokenDelta
from tests.support.fakes_serving import tokenizers


class OtherTokenizer:
    """Not byte-level: its token of a byte is called by a number, as SentencePiece does."""

    def decode(self, ids, **how):
        return "\ufffd"

    def convert_ids_to_tokens(self, token):
        return "<0xF0>"


def entries(tokenizer, ids):
    tops = tuple(((token, -0.5),) for token in ids)
    return chat_logprobs(tokenizer, TokenDelta(ids, [Author.STUDENT] * len(ids), [-0.5] * len(ids), tops))["content"]


@pytest.mark.parametrize("text", ["\N{GRINNING FACE}", "3 pens \N{GRINNING FACE}, \N{EURO SIGN}5", "\ufffd", "words"])
def test_bytes_of_tokens_join_to_the_text_whole_or_half(text):
    student, _ = tokenizers()
    rows = entries(student, plain_ids(student, text))
    assert bytes(byte for row in rows for byte in row["bytes"]).decode() == text
    assert [row["top_logprobs"][0]["bytes"] for row in rows] == [row["bytes"] for row in rows]


def test_bytes_of_a_tokenizer_that_is_not_byte_level_are_its_texts():
    assert [row["bytes"] for row in entries(OtherTokenizer(), [0])] == [[239, 191, 189]]
