"""From what a request brings to the token ids of both models; long prompts in a thread of their own."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from relayllm.engines.prompts import encode_prompt
from relayllm.errors import DataError
from relayllm.relay.command import CommandTokens
from relayllm.relay.protocols import Message, Tokenizer
from relayllm.relay.vocabulary import plain_ids
from relayllm.serving.errors import bad_request

if TYPE_CHECKING:
    from relayllm.engines.decoder import RelayDecoder

SHORT = 4000
"""Characters that are encoded at once; more go to the thread, so that other requests need not wait."""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """A prompt in the student's vocabulary, and in the teacher's where that is another."""

    ids: tuple[int, ...]
    teacher_ids: tuple[int, ...] | None = None
    text: str = ""
    """As the client sent it, for echo."""
    messages: tuple[Message, ...] | None = None
    """The conversation it was made from, for a teacher's server with a chat template of its own."""


@dataclass(frozen=True, slots=True)
class ResponseTokenizer:
    """The tokenizer with which the event loop turns tokens into text."""

    tokenizer: Tokenizer
    commands: CommandTokens

    @classmethod
    def of(cls, decoder: RelayDecoder) -> ResponseTokenizer:
        """With a copy of the decoder's tokenizer: one is not safe in two threads, and the engine uses the decoder's."""
        return cls(copy.deepcopy(decoder.tokenizer), decoder.commands)


class PromptEncoder:
    """Encodes prompts with tokenizers of its own: a tokenizer is not safe in two threads, and the engine uses its."""

    def __init__(self, decoder: RelayDecoder, *, enable_thinking: bool | None = None) -> None:
        self._enable_thinking = enable_thinking
        self._student = copy.deepcopy(decoder.tokenizer)
        apart = decoder.teacher is not None and not decoder.shares_vocabulary
        self._teacher = copy.deepcopy(decoder.teacher_tokenizer) if apart else None
        self._forbidden = {decoder.commands.call, decoder.commands.end}
        self._size = len(self._student)
        self._busy = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reader")

    async def chat(self, messages: Sequence[dict[str, str]], *, continue_final: bool = False) -> EncodedPrompt:
        """A conversation, through the chat template; the last message left open if it is to be continued."""
        def encode(tokenizer: Tokenizer) -> list[int]:
            return encode_prompt(tokenizer, messages, enable_thinking=self._enable_thinking,
                                 continue_final=continue_final)

        return await self._run(sum(len(message["content"]) for message in messages),
                               lambda: replace(self._read(encode, ""), messages=tuple(messages)))

    async def text(self, text: str) -> EncodedPrompt:
        """Text as it is: no template, and nothing in it is a special token."""
        return await self._run(len(text), lambda: self._read(lambda tokenizer: plain_ids(tokenizer, text), text))

    async def ids(self, ids: Sequence[int]) -> EncodedPrompt:
        """Token ids, unchanged."""
        if max(ids) >= self._size:
            raise bad_request(f"token id {max(ids)} is none of the {self._size} that the student knows", "prompt")
        if self._forbidden.intersection(ids):
            raise bad_request("the prompt holds a command token: only the student writes those", "prompt")
        if self._teacher is not None:
            raise bad_request("token ids cannot be told to a teacher with another tokenizer: send text", "prompt")
        return await self._run(len(ids), lambda: EncodedPrompt(tuple(ids), None, str(self._student.decode(list(ids)))))

    def close(self) -> None:
        """Encode the prompts that wait, then end the thread."""
        self._thread.shutdown(wait=False)

    def _read(self, encode: Callable[[Tokenizer], list[int]], text: str) -> EncodedPrompt:
        try:
            ids = encode(self._student)
            theirs = None if self._teacher is None else tuple(encode(self._teacher))
        except DataError as error:
            raise bad_request(str(error)) from error
        except Exception as error:  # a chat template may refuse an order of roles, by an error of its own
            raise bad_request(f"this prompt cannot be encoded: {type(error).__name__}: {error}"[:300]) from error
        if not ids:
            raise bad_request("the prompt is empty: there is nothing to continue", "prompt")
        return EncodedPrompt(tuple(ids), theirs, text)

    async def _run(self, size: int, work: Callable[[], EncodedPrompt]) -> EncodedPrompt:
        if size < SHORT and not self._busy:
            return work()
        self._busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._busy -= 1
