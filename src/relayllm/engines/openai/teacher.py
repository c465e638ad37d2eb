"""A teacher behind any OpenAI-compatible server: called by token ids, by messages, or by raw text.

One request per row and call, all of them in flight at once on one event loop in a thread of its own: no row waits for
another. What a call delivers is collected by the scheduler between its own steps.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import cast

from relayllm.engines.openai.breaker import Circuit, CircuitBreaker
from relayllm.engines.openai.calls import Caller, CallStream, IdCodec, MessagesCodec, TextCodec, WireCodec
from relayllm.engines.openai.client import CompletionClient
from relayllm.engines.openai.handshake import MODEL_VARIABLE, Handshake, Mode, ServerInfo
from relayllm.engines.openai.loop_thread import LoopThread, wait_for_news
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.wire import PermanentError, TransientError
from relayllm.errors import ConfigError, TeacherError
from relayllm.relay.protocols import CallRequest, Tokenizer
from relayllm.relay.vocabulary import continuation_ids, continuation_text

MODE_VARIABLE = "RELAY_TEACHER_MODE"
TURN_ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>")


class OpenAITeacher:
    """A teacher over HTTP: the `CallServer` of a relay.

    `tokenizer` is the one whose ids go in and out. `model` and `mode` are the environment's where they are left out; a
    model "" is the only one that is served. In mode `auto` ids are used when the server cuts a probe text into
    the same ids as `tokenizer` does, and answers in ids; else messages when it continues them; else raw text.
    """

    def __init__(self, url: str, tokenizer: Tokenizer, *, model: str | None = None, mode: Mode | None = None,
                 forbidden_ids: Sequence[int] = (), options: RemoteOptions | None = None,
                 api_key: str | None = None, news: threading.Event | None = None,
                 name: str = "") -> None:
        self.options = options or RemoteOptions.from_environment()
        self.breaker = CircuitBreaker(self.options.breaker_failures, self.options.breaker_seconds)
        # A copy: tokenizers of the tokenizers library are not to be used from two threads.
        self._tokenizer = copy.deepcopy(tokenizer)
        self._forbidden, self._stop, self._size = frozenset(forbidden_ids), _stop_ids(tokenizer), len(tokenizer)
        self._news = news or threading.Event()
        self._client = CompletionClient(url, self.options, api_key=api_key)
        self.name = name or self._client.url
        """What traces call it."""
        expected = os.environ.get(MODEL_VARIABLE) if model is None else model
        self._handshake = Handshake(self._client, expected or None, _mode(mode),
                                    lambda text: list(self._tokenizer.encode(text, add_special_tokens=False)))
        self._caller = Caller(self._client, self._handshake, self.breaker, self.options, self._codec)
        self._thread = LoopThread("remote-teacher")

    @property
    def url(self) -> str:
        """The server's root address."""
        return self._client.url

    @property
    def circuit(self) -> Circuit:
        """Whether calls pass now; for metrics."""
        return self.breaker.state

    @property
    def up(self) -> bool:
        """Whether calls are sent: not while the circuit is open."""
        return self.circuit is not Circuit.OPEN

    def context_length(self) -> int:
        """Tokens that prompt and call may take together, asked for now; 0 where it does not say, or is away."""
        async def asked() -> int:
            return await self._client.context_length((await self._handshake.result()).model)

        try:
            return self._thread.run(asked()).result()
        except (TransientError, PermanentError):
            return 0

    def verify(self) -> ServerInfo:
        """Do the handshake now rather than at the first call.

        Raises:
            TeacherError: out of reach, another model than expected, or no format that it takes calls in.
        """
        try:
            return self._thread.run(self._handshake.result()).result()
        except (TransientError, PermanentError) as error:
            raise TeacherError(str(error)) from error

    def submit(self, request: CallRequest) -> CallStream:
        """Start a call and return at once; the answer fills while the caller does other things.

        Never raises: a server that is down, or a circuit that is open, is an answer with an error.
        """
        stream = CallStream(self._news.set, self.name)
        if not self._thread.alive:
            stream.close(error=TeacherError(f"teacher at {self.url}: this connection was closed"))
        elif not self.breaker.admits():
            stream.close(error=TeacherError(
                f"teacher at {self.url} failed {self.options.breaker_failures} times in a row; not asked again for "
                f"{self.breaker.seconds_left:.0f} s"))
        else:
            task = self._thread.run(self._caller.run(request, stream))
            stream.cancel = lambda: _cancel(stream, task)
            task.add_done_callback(lambda done: _close_anyhow(stream, done))
        return stream

    def wait(self, seconds: float) -> bool:
        """Sleep until some call has news, at most so long; for a scheduler with nothing else to do."""
        return wait_for_news(self._news, seconds)

    def close(self) -> None:
        """End all calls and let the connections go, once or again, from any thread."""
        self._thread.close(self._client.close)

    def _codec(self, known: ServerInfo, request: CallRequest) -> WireCodec:
        if known.uses_ids:
            return IdCodec(request, self._stop, self._may_write)
        if known.wire_format == "messages" and request.messages is not None:
            answer = continuation_text(self._tokenizer, request.prompt_ids[request.answer_start:])
            return MessagesCodec(request, answer, self._encode)
        return TextCodec(request, self._decode, self._encode)

    def _may_write(self, token: int) -> bool:
        return token < self._size and token not in self._forbidden

    def _encode(self, text: str) -> list[int]:
        return continuation_ids(self._tokenizer, text)

    def _decode(self, token_ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=False,
                                          clean_up_tokenization_spaces=False))


def _cancel(stream: CallStream, task: Future[None]) -> None:
    stream.close()
    task.cancel()


def _close_anyhow(stream: CallStream, done: Future[None]) -> None:
    """A row waits for its answer whatever happened: the call was cancelled, or a bug ended it."""
    fault = None if done.cancelled() else done.exception()
    what = f"{type(fault).__name__}: {fault}" if fault else "the call was cancelled"
    stream.close(error=TeacherError(f"a call of the teacher broke off: {what}"))


def _mode(given: Mode | None) -> Mode:
    mode = given or os.environ.get(MODE_VARIABLE) or "auto"
    if mode not in ("auto", "ids", "messages", "text"):
        raise ConfigError(f"{MODE_VARIABLE} is '{mode}': give auto, ids, messages or text")
    return cast(Mode, mode)


def _stop_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """The ids that end a text: the tokenizer's own, and those that chat models end a turn with."""
    known = tokenizer.get_vocab()
    return frozenset(known[name] for name in (tokenizer.eos_token, *TURN_ENDS) if name in known)
