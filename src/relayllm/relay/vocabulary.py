"""Between the student's tokens and the teacher's: the same ids, or text encoded anew at each hand-over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relayllm.relay.protocols import Tokenizer
from relayllm.relay.row import Row


class Vocabulary(Protocol):
    """Keeps the teacher's view of a row and turns what it says into the student's tokens."""

    streams: bool
    """Whether the student can have the teacher's tokens one by one, before the call is over."""

    def to_teacher(self, row: Row) -> int:
        """Bring the teacher's view up to date; returns how many tokens that the student wrote are new in it."""
        ...

    def from_teacher(self, teacher_ids: Sequence[int]) -> list[int]:
        """The student's tokens for what the teacher said."""
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
        """As it is."""
        return list(teacher_ids)


class TranslatedVocabulary:
    """The models cut text differently: what one writes is decoded and encoded for the other, once."""

    streams = False

    def __init__(self, student: Tokenizer, teacher: Tokenizer) -> None:
        self._student, self._teacher = student, teacher

    def to_teacher(self, row: Row) -> int:
        """Encode the student's text since the last call; a character cut in two waits for its rest."""
        text, row.unsent = _whole(self._student, row.unsent)
        sent = plain_ids(self._teacher, text)
        row.teacher_pending += sent
        return len(sent)

    def from_teacher(self, teacher_ids: Sequence[int]) -> list[int]:
        """Encode the teacher's text; its end of text is no text."""
        return plain_ids(self._student, _text(self._teacher, teacher_ids).rstrip("\ufffd"))


def _text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _whole(tokenizer: Tokenizer, ids: list[int]) -> tuple[str, list[int]]:
    """The text of the ids as far as it ends with a whole character, and the ids that are left.

    Those are three at most: a character has four bytes, a token one at least.
    """
    for size in range(len(ids), max(0, len(ids) - 3), -1):
        text = _text(tokenizer, ids[:size])
        if not text.endswith("\ufffd"):
            return text, ids[size:]
    kept = max(0, len(ids) - 3)
    return _text(tokenizer, ids[:kept]), ids[kept:]


def plain_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Encode text so that nothing in it becomes a special token, whatever it spells."""
    return list(tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)) if text else []
