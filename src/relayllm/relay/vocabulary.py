"""Between the student's tokens and the teacher's: the same ids, or text encoded anew at each hand-over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relayllm.relay.detokenizer import decode
from relayllm.relay.protocols import Tokenizer
from relayllm.relay.row import Row

ANCHOR = "\ue000"
"""A private-use character: no token but those of its bytes holds it, so that text behind it is cut as it would be."""


class Vocabulary(Protocol):
    """Translation between two vocabularies: the teacher's view of a row, and its answers in the student's tokens."""

    streams: bool
    """Whether the student can have the teacher's tokens one by one, before the call is over."""

    def to_teacher(self, row: Row) -> int:
        """Bring the teacher's view up to date; returns how many tokens that the student wrote are new in it."""
        ...

    def from_teacher(self, teacher_ids: Sequence[int]) -> list[int]:
        """The student's tokens for the teacher's."""
        ...


class SharedVocabulary:
    """Both models read the same ids."""

    streams = True

    def to_teacher(self, row: Row) -> int:
        """Append what the student wrote."""
        sent, row.unsent = row.unsent, []
        row.teacher_pending += sent
        return len(sent)

    def from_teacher(self, teacher_ids: Sequence[int]) -> list[int]:
        """The teacher's tokens as they are."""
        return list(teacher_ids)


class TranslatedVocabulary:
    """The models cut text differently: what one writes is decoded and encoded for the other, once."""

    streams = False

    def __init__(self, student: Tokenizer, teacher: Tokenizer) -> None:
        self._student, self._teacher = student, teacher

    def to_teacher(self, row: Row) -> int:
        """Encode the student's text since the last call; a character cut in two waits for its rest."""
        text, row.unsent = _whole(self._student, row.unsent)
        sent = continuation_ids(self._teacher, text)
        row.teacher_pending += sent
        return len(sent)

    def from_teacher(self, teacher_ids: Sequence[int]) -> list[int]:
        """Encode the teacher's text; its end of text is no text."""
        return continuation_ids(self._student, continuation_text(self._teacher, teacher_ids).rstrip("\ufffd"))


def _whole(tokenizer: Tokenizer, ids: list[int]) -> tuple[str, list[int]]:
    """The text of the ids as far as it ends with a whole character, and the ids that are left.

    Those are three at most: a character has four bytes, a token one at least.
    """
    for size in range(len(ids), max(0, len(ids) - 3), -1):
        text = continuation_text(tokenizer, ids[:size])
        if not text.endswith("\ufffd"):
            return text, ids[size:]
    kept = max(0, len(ids) - 3)
    return continuation_text(tokenizer, ids[:kept]), ids[kept:]


def plain_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Encode a text of its own so that nothing in it becomes a special token, whatever it spells."""
    return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)) if text else []


def continuation_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Encode text that goes on where other text ended, likewise without special tokens.

    A SentencePiece tokenizer writes a space before the text it is given; here a character goes before, whose tokens
    are cut off again.
    """
    if not text or not _writes_a_space_before(tokenizer):
        return plain_ids(tokenizer, text)
    anchor, whole = plain_ids(tokenizer, ANCHOR), plain_ids(tokenizer, ANCHOR + text)
    return whole[len(anchor):] if whole[:len(anchor)] == anchor else plain_ids(tokenizer, text)


def continuation_text(tokenizer: Tokenizer, token_ids: Sequence[int]) -> str:
    """Text of tokens that go on where others ended, special tokens left out.

    A SentencePiece tokenizer drops a space at the beginning of what it decodes, and here it belongs to the text.
    """
    if not _writes_a_space_before(tokenizer):
        return decode(tokenizer, token_ids)
    return decode(tokenizer, [*plain_ids(tokenizer, "a"), *token_ids])[1:]


def _writes_a_space_before(tokenizer: Tokenizer) -> bool:
    return decode(tokenizer, plain_ids(tokenizer, "b") + plain_ids(tokenizer, "a")) != "ba"
