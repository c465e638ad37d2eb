"""One segment of a remote student: from where it takes the pen to its next `</call>`, or to the end of the answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from relayllm.engines.openai.wire import PermanentError, StreamChunk
from relayllm.errors import StudentError
from relayllm.relay.command import CommandTokens
from relayllm.relay.protocols import Usage
from relayllm.relay.remote_session import WrittenToken


@dataclass(frozen=True, slots=True)
class SegmentRequest:
    """What the student is asked to continue, and what it may spend."""

    prompt_ids: tuple[int, ...]
    """The prompt as the student reads it."""
    written: tuple[int, ...]
    """The completion so far, commands and the teacher's tokens included."""
    remaining: int
    """Completion tokens that may still be written."""
    calls_left: int
    max_call_tokens: int
    call_bias: float = 0.0
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    logprobs: bool = True
    top_logprobs: int = 0
    session: int = 0
    """The answer's key: all its segments go to the same replica, whose prefix cache knows it."""


class SegmentStream:
    """The tokens of one segment as they arrive, each with its log-probability. Read `done` before `take_written`."""

    def __init__(self, notify: Callable[[], None] = lambda: None) -> None:
        self._lock = threading.Lock()
        self._notify = notify
        self._written: list[WrittenToken] = []
        self.done = False
        """Nothing more will come."""
        self.finished = False
        """The student wrote its end of text."""
        self.error: StudentError | None = None
        """Why the segment broke off; the tokens before stand."""
        self.usage: Usage | None = None
        """What its server read; of several attempts that of the last."""
        self.cancel: Callable[[], None] = self.close
        """End the segment and its request; what arrived stays."""

    def take_written(self) -> list[WrittenToken]:
        """The tokens that arrived since the last time, from any thread."""
        with self._lock:
            written, self._written = self._written, []
            return written

    def add(self, tokens: Sequence[WrittenToken]) -> None:
        """Append tokens that arrived."""
        with self._lock:
            self._written += tokens
        self._notify()

    def close(self, *, finished: bool = False) -> None:
        """End the segment; of several closings the first counts."""
        with self._lock:
            if self.done:
                return
            self.finished, self.done = finished, True
        self._notify()

    def fail(self, fact: str) -> None:
        """End the segment with an error: it is not whole."""
        self.error = self.error or StudentError(fact)
        self.close()


class SegmentCodec:
    """A segment as requests to a vLLM server with the relay grammar, and what it answers as tokens.

    A segment that a fault has cut is taken up with what was received, cut back to before a command that is not whole:
    the server's grammar reads output tokens only, so a prompt that ended inside a command would count as outside.
    """

    def __init__(self, request: SegmentRequest, commands: CommandTokens, end_ids: frozenset[int], vocabulary: int,
                 stream: SegmentStream) -> None:
        self._request, self._commands, self._ends, self._vocabulary = request, commands, end_ids, vocabulary
        self._stream = stream
        self._received: list[int] = []
        self._held: list[WrittenToken] = []
        """A command that is not whole yet: delivered in one piece."""
        self.finished = False
        """The student wrote its end of text."""
        self.called = False
        """The segment ended with a command."""

    @property
    def whole(self) -> bool:
        """Whether nothing is missing: it has an end, a command, or every token that was left."""
        return self.finished or self.called or len(self._received) >= self._request.remaining

    def request(self) -> dict[str, Any]:
        """Ask for what is still missing."""
        self._held.clear()
        asked, done = self._request, len(self._received)
        return {"prompt": [*asked.prompt_ids, *asked.written, *self._received], "return_token_ids": True,
                "max_tokens": asked.remaining - done, "temperature": asked.temperature, "top_p": asked.top_p,
                "seed": (asked.seed + done) % 2**31,
                **({"logprobs": asked.top_logprobs, "return_tokens_as_token_ids": True} if asked.logprobs else {}),
                "stop_token_ids": [self._commands.end],
                "vllm_xargs": {"calls_left": asked.calls_left, "remaining": asked.remaining - done,
                               "max_call_tokens": asked.max_call_tokens, "call_bias": asked.call_bias}}

    def read(self, piece: StreamChunk) -> None:
        """Take in one event of the stream.

        Raises:
            PermanentError: no token ids came, or one that no student may write.
        """
        if piece.text and piece.token_ids is None:
            raise PermanentError("the student's server returns text without token ids: it must be a vLLM server that "
                                 "knows return_token_ids")
        for place, token in enumerate(piece.token_ids or ()):
            if token >= self._vocabulary:
                raise PermanentError(f"the student's server wrote token id {token}, its tokenizer here knows "
                                     f"{self._vocabulary}: it serves another model")
            logprob, top = piece.logprobs[place] if place < len(piece.logprobs) else (None, ())
            likeliest = sorted(top, key=lambda pair: -pair[1])[:self._request.top_logprobs]
            self._take(WrittenToken(token, logprob, tuple(likeliest)))

    def usage(self, usage: Usage) -> None:
        """Keep what the server says it read."""
        self._stream.usage = usage

    def _take(self, token: WrittenToken) -> None:
        self._held.append(token)
        if self._held[0].id == self._commands.call and token.id != self._commands.end and len(self._held) < 6:
            return  # `<call>` and its digits wait for `</call>`
        self._received += [one.id for one in self._held]
        self.called = self.called or token.id == self._commands.end
        self.finished = self.finished or token.id in self._ends
        self._stream.add(self._held)
        self._held = []
