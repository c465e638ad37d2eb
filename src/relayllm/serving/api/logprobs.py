"""Log-probabilities in OpenAI's two formats: that of chat answers, and that of continued texts."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from functools import cache

from relayllm.relay.protocols import Tokenizer
from relayllm.relay.trace import Author
from relayllm.serving.engine.requests import TokenDelta
from relayllm.serving.engine.scoring import PromptLogprobs
from relayllm.serving.errors import Json

HALF = "\N{REPLACEMENT CHARACTER}"
"""What the bytes of half a character show as."""


def token_texts(tokenizer: Tokenizer, token_ids: Sequence[int]) -> list[str]:
    """Each token as text; half characters show as U+FFFD."""
    return [str(tokenizer.decode([token], skip_special_tokens=False, clean_up_tokenization_spaces=False))
            for token in token_ids]


def chat_logprobs(tokenizer: Tokenizer, delta: TokenDelta) -> Json:
    """OpenAI's chat format; the teacher's tokens have the student's log-probability, and no likeliest tokens."""
    rows = [{**_entry(tokenizer, token, logprob), "top_logprobs": [_entry(tokenizer, *likely) for likely in top],
             "author": author.value}
            for token, logprob, author, top in zip(delta.ids, delta.logprobs, delta.authors,
                                                   delta.tops or [()] * len(delta.ids), strict=True)]
    return {"content": rows, "refusal": None}


def _entry(tokenizer: Tokenizer, token: int, logprob: float | None) -> Json:
    [text] = token_texts(tokenizer, [token])
    return {"token": text, "logprob": logprob, "bytes": list(token_bytes(tokenizer, token, text))}


def token_bytes(tokenizer: Tokenizer, token: int, text: str) -> bytes:
    """A token's own bytes, also of half a character; of a tokenizer that is not byte-level those of its text."""
    plain = text.encode()
    if HALF not in text:
        return plain
    letters = _letters()
    name = str(tokenizer.convert_ids_to_tokens(token))
    own = bytes(letters[letter] for letter in name) if letters.keys() >= set(name) else plain
    return own if own.decode(errors="replace") == text else plain


@cache
def _letters() -> dict[str, int]:
    """GPT-2's letters for bytes, which all byte-level BPE has: printable ones stand for themselves."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


def _likely(tokenizer: Tokenizer, delta: TokenDelta | PromptLogprobs) -> list[list[tuple[str, float]]]:
    """The likeliest tokens as texts, one list per token."""
    if not delta.tops:
        return [[] for _ in delta.ids]
    return [list(zip(token_texts(tokenizer, [token for token, _ in top]), [value for _, value in top], strict=True))
            for top in delta.tops]


class TextOffsets:
    """Where each token begins in the returned text: commands and special tokens of an answer take no room there, and
    the tokens of one character begin where it does."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")
        self._special = frozenset(tokenizer.all_special_ids)
        self._at = 0

    def of_prompt(self, ids: Sequence[int], texts: Sequence[str]) -> list[int]:
        """Offsets of an echoed prompt's tokens; every one of them is shown."""
        return [self._next(token, text) for token, text in zip(ids, texts, strict=True)]

    def of(self, delta: TokenDelta, texts: Sequence[str]) -> list[int]:
        """Offsets of the next tokens of an answer."""
        return [self._at if author is Author.COMMAND or token in self._special else self._next(token, text)
                for token, author, text in zip(delta.ids, delta.authors, texts, strict=True)]

    def _next(self, token: int, text: str) -> int:
        at = self._at
        self._at += len(self._characters.decode(token_bytes(self._tokenizer, token, text)))
        return at


def text_logprobs(tokenizer: Tokenizer, delta: TokenDelta, offsets: TextOffsets,
                  prompt: PromptLogprobs | None = None, *, length: int | None = None) -> Json:
    """The format of /v1/completions, of the echoed prompt and of completion tokens; `length` is that of the text.

    As OpenAI does, the written token is among the likeliest, even when it is none of them.
    """
    parts = [part for part in (prompt, delta) if part is not None]
    texts = [token_texts(tokenizer, part.ids) for part in parts]
    places = ([] if prompt is None else offsets.of_prompt(prompt.ids, texts[0])) + offsets.of(delta, texts[-1])
    words = [text for part in texts for text in part]
    logprobs = [logprob for part in parts for logprob in part.logprobs]
    likely = [rivals for part in parts for rivals in _likely(tokenizer, part)]
    top = [None if logprob is None else {**dict(reversed(rivals)), text: logprob}  # of the same text the likelier
           for text, logprob, rivals in zip(words, logprobs, likely, strict=True)]
    return {"tokens": words, "token_logprobs": logprobs, "top_logprobs": top,
            "text_offset": [place if length is None else min(place, length) for place in places],
            "authors": ["prompt"] * len(prompt.ids if prompt else ()) + [author.value for author in delta.authors]}
