"""From a prompt to token ids: the one place where a chat template is applied.

A conversation is rendered by the template and encoded whole, as the model was trained to read it. Only where the text
of a message spells a special token (a `<call>`, an end of turn, another role) is the rendered text cut at the
template's own special tokens and encoded run by run with special tokens switched off, so that no text of a user can
become one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from relayllm.errors import DataError
from relayllm.relay.protocols import Message, Tokenizer
from relayllm.relay.vocabulary import continuation_ids, plain_ids

Prompt = str | Sequence[Message] | Sequence[int]
PRIVATE = range(0xE000, 0xF8FF)
"""Private-use characters; one that no message holds is put where a message could complete a special token."""


def encode_prompt(tokenizer: Tokenizer, prompt: Prompt, *, enable_thinking: bool | None = None,
                  continue_final: bool = False) -> list[int]:
    """Token ids of a chat (a string is one user message), ready for the answer; ids pass as they are.

    `enable_thinking` is passed to templates that know it (Qwen3 and its like); None leaves it to the template.
    `continue_final` leaves the last message open, so that the answer goes on with it.

    Raises:
        DataError: the prompt is an empty list or none of the three kinds, or the template refuses it.
    """
    messages = messages_of(prompt)
    if messages is None:
        return list(prompt)  # type: ignore[arg-type]
    if not getattr(tokenizer, "chat_template", None):
        return [token for message in messages for token in plain_ids(tokenizer, message["content"])]
    special = _special_tokens(_Key(tokenizer))
    _check_roles(messages, special)
    how = _Rendering(enable_thinking, continue_final)
    text = how.text(tokenizer, messages)
    if not _spells(special, messages) and len(special.findall(text)) == _template_tokens(
            _Key(tokenizer), tuple(message["role"] for message in messages), how):
        return list(tokenizer.encode(text, add_special_tokens=False))
    return _encode_apart(tokenizer, messages, special, how)


def messages_of(prompt: Prompt) -> tuple[Message, ...] | None:
    """The messages of a prompt; None when it is token ids.

    Raises:
        DataError: the prompt is an empty list or none of the three kinds.
    """
    if isinstance(prompt, str):
        return ({"role": "user", "content": prompt},)
    parts: list[Any] = list(prompt) if isinstance(prompt, Sequence) else []
    if parts and all(isinstance(part, int) for part in parts):
        return None
    if parts and all(isinstance(part, Mapping) and isinstance(part.get("content"), str)
                     and isinstance(part.get("role"), str) for part in parts):
        return tuple(parts)
    raise DataError(f"a prompt is a text, a list of messages with role and content, or token ids; got "
                    f"{str(prompt)[:80]!r}")


@dataclass(frozen=True, slots=True)
class _Rendering:
    """How a template is applied."""

    enable_thinking: bool | None = None
    continue_final: bool = False

    def text(self, tokenizer: Tokenizer, messages: Sequence[Message]) -> str:
        """The conversation as the template writes it."""
        from jinja2 import TemplateError

        thinking = {} if self.enable_thinking is None else {"enable_thinking": self.enable_thinking}
        try:
            return str(tokenizer.apply_chat_template(
                [dict(message) for message in messages], tokenize=False, add_generation_prompt=not self.continue_final,
                continue_final_message=self.continue_final, **thinking))
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise DataError(f"the chat template of {tokenizer.name_or_path or 'this tokenizer'} refuses messages of "
                            f"the roles {roles}: {error}; leave out or join what it refuses") from error


def _encode_apart(tokenizer: Tokenizer, messages: Sequence[Message], special: re.Pattern[str],
                  how: _Rendering) -> list[int]:
    """The rendered text run by run between the template's special tokens; those of a message's text are none."""
    mark = next(chr(code) for code in PRIVATE if not any(chr(code) in message["content"] for message in messages))
    guarded = [{**message, "content": _guarded(message["content"], mark, special)} for message in messages]
    text = how.text(tokenizer, guarded)
    ids: list[int] = []
    start = 0
    for found in special.finditer(text):
        ids += _run_ids(tokenizer, text[start:found.start()].replace(mark, ""), first=start == 0)
        ids += tokenizer.encode(found[0], add_special_tokens=False)[-1:]
        start = found.end()
    return ids + _run_ids(tokenizer, text[start:].replace(mark, ""), first=start == 0)


def _guarded(content: str, mark: str, special: re.Pattern[str]) -> str:
    """A message's text with a mark inside of whatever spells a special token, and at both ends of its words: a
    template may strip the space around."""
    core = content.strip()
    if not core:
        return content
    start = content.index(core)
    broken = special.sub(lambda found: found[0].replace(name := found[0].strip(), name[:1] + mark + name[1:]), core)
    return content[:start] + mark + broken + mark + content[start + len(core):]


def _run_ids(tokenizer: Tokenizer, text: str, *, first: bool) -> list[int]:
    """Text between two special tokens: as the tokenizer encodes it there, which need not be as at the beginning."""
    if not text:
        return []
    alone = plain_ids(tokenizer, "a")
    after = tokenizer.encode(_any_special(tokenizer) + "a", add_special_tokens=False)[1:]
    return plain_ids(tokenizer, text) if first or list(after) == alone else continuation_ids(tokenizer, text)


def _any_special(tokenizer: Tokenizer) -> str:
    return tokenizer.eos_token or ""


def _spells(special: re.Pattern[str], messages: Sequence[Message]) -> bool:
    return any(special.search(message["content"]) for message in messages)


def _check_roles(messages: Sequence[Message], special: re.Pattern[str]) -> None:
    wrong = next((message["role"] for message in messages if special.search(message["role"])), None)
    if wrong is not None:
        raise DataError(f"the role {wrong!r} spells a special token: roles are system, user and assistant")


class _Key:
    """Tokenizers are not hashable by value; the object itself, with as many tokens as it has, is the key."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer, self._value = tokenizer, (id(tokenizer), len(tokenizer), str(tokenizer.chat_template))

    def __hash__(self) -> int:
        return hash(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and other._value == self._value


@lru_cache(maxsize=64)
def _special_tokens(key: _Key) -> re.Pattern[str]:
    """Matches every special token of a tokenizer, with the space that it swallows; the longest where several begin."""
    known = key.tokenizer.added_tokens_decoder
    tokens = sorted((token for token in known.values() if token.special and token.content.strip()),
                    key=lambda token: len(token.content), reverse=True)
    return re.compile("|".join((r"\s*" if token.lstrip else "") + re.escape(token.content)
                               + (r"\s*" if token.rstrip else "") for token in tokens) or r"(?!)")


@lru_cache(maxsize=256)
def _template_tokens(key: _Key, roles: tuple[str, ...], how: _Rendering) -> int:
    """How many special tokens a template writes around messages of these roles."""
    text = how.text(key.tokenizer, [{"role": role, "content": "x"} for role in roles])
    return len(_special_tokens(key).findall(text))
