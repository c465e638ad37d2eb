"""From a prompt to token ids: the one place where a chat template is applied.

What people write is encoded apart from the template around it, with special tokens switched off, so that no text of
theirs can become a `<call>`, an end of turn or another role.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from relayllm.errors import DataError
from relayllm.relay.vocabulary import plain_ids

Message = Mapping[str, str]
Prompt = str | Sequence[Message] | Sequence[int]
OPEN, CLOSE = "\ue000", "\ue001"
"""Private-use characters that mark where a message's text stands in the rendered template."""


def encode_prompt(tokenizer: Any, prompt: Prompt, *, continue_final: bool = False) -> list[int]:
    """Token ids of a chat (a string is one user message), ready for the answer; ids pass as they are.

    `continue_final` leaves the last message open, so that the answer goes on with it.

    Raises:
        DataError: the prompt is an empty list or none of the three kinds.
    """
    if isinstance(prompt, str):
        return _encode_chat(tokenizer, [{"role": "user", "content": prompt}])
    items = list(prompt) if isinstance(prompt, Sequence) else []
    if items and all(isinstance(item, int) for item in items):
        return items  # type: ignore[return-value]
    if items and all(isinstance(item, Mapping) and isinstance(item.get("content"), str) and "role" in item
                     for item in items):
        return _encode_chat(tokenizer, items, continue_final)  # type: ignore[arg-type]
    raise DataError(f"a prompt is a text, a list of messages with role and content, or token ids; got "
                    f"{str(prompt)[:80]!r}")


def _encode_chat(tokenizer: Any, messages: Sequence[Message], continue_final: bool = False) -> list[int]:
    marked = tuple((str(message["role"]), f"{OPEN}{index}{CLOSE}") for index, message in enumerate(messages))
    ids: list[int] = []
    for piece in _template_pieces(_Key(tokenizer), marked):
        if isinstance(piece, int):
            ids += plain_ids(tokenizer, messages[piece]["content"])
            if continue_final and piece == len(messages) - 1:
                return ids
        else:
            ids += piece
    return ids


class _Key:
    """Tokenizers are not hashable by value; the object itself is the key."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __hash__(self) -> int:
        return id(self.tokenizer)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other.tokenizer is self.tokenizer


@lru_cache(maxsize=256)
def _template_pieces(key: _Key, marked: tuple[tuple[str, str], ...]) -> tuple[tuple[int, ...] | int, ...]:
    """The rendered template as ids, with the index of a message wherever its text goes."""
    tokenizer = key.tokenizer
    if not getattr(tokenizer, "chat_template", None):
        return (*range(len(marked)),)
    messages = [{"role": role, "content": content} for role, content in marked]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    pieces: list[tuple[int, ...] | int] = []
    while (start := text.find(OPEN)) >= 0:
        stop = text.index(CLOSE, start)
        pieces += [tuple(_template_ids(tokenizer, text[:start])), int(text[start + 1:stop])]
        text = text[stop + 1:]
    return (*pieces, tuple(_template_ids(tokenizer, text)))


def _template_ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False)) if text else []
