"""A student behind vLLM servers that run the relay grammar: replicas, failover, one event loop in a thread of its
own."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from relayllm.engines.commands import command_tokens
from relayllm.engines.openai.breaker import CircuitBreaker
from relayllm.engines.openai.client import CompletionClient
from relayllm.engines.openai.loop_thread import LoopThread, wait_for_news
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.placement import Placement
from relayllm.engines.openai.segments import SegmentCodec, SegmentRequest, SegmentStream
from relayllm.engines.openai.student_handshake import MODEL_VARIABLE, StudentHandshake, StudentInfo
from relayllm.engines.openai.wire import PermanentError, TransientError
from relayllm.errors import ConfigError, StudentError
from relayllm.relay.protocols import Tokenizer, Usage
from relayllm.relay.row import Row
from relayllm.settings import without_secrets

KEY_VARIABLE = "RELAY_STUDENT_API_KEY"


@dataclass(eq=False)
class _Replica:
    """One server."""

    client: CompletionClient
    handshake: StudentHandshake
    breaker: CircuitBreaker
    running: int = 0
    """Segments in flight; touched in the event loop's thread only."""

    @property
    def load(self) -> int | None:
        """Segments in flight; None while its circuit is open."""
        return None if self.breaker.seconds_left else self.running

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count a segment while it is written."""
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1


class OpenAIStudent:
    """Implements `relay.remote_session.RemoteStudent` over one or several vLLM servers of the same model.

    All segments of an answer go to one replica, so that its prefix cache knows what came before: the first by
    rendezvous hashing that is not far busier than the others when the answer begins (see `placement`). A replica that
    fails is left out until its circuit closes; the answer goes on at the next one with what was received.
    """

    def __init__(self, urls: Sequence[str], tokenizer: Tokenizer, *, model: str | None = None,
                 options: RemoteOptions | None = None, api_key: str | None = None, ends: frozenset[int] = frozenset(),
                 news: threading.Event | None = None) -> None:
        commands = command_tokens(tokenizer)
        if not urls:
            raise ConfigError("a remote student needs the address of a server: give one or more")
        if commands is None:
            raise ConfigError(f"the tokenizer {tokenizer.name_or_path} has no <call> and </call>: give the folder of a "
                              "student that was warmed up")
        self.name = without_secrets(", ".join(urls))
        self.ends = ends or frozenset({tokenizer.eos_token_id})
        self.options = options or RemoteOptions.from_environment("student")
        self.commands, self._vocabulary = commands, len(tokenizer)
        self._news = news or threading.Event()
        self._replicas = [self._replica(url, tokenizer, model, api_key) for url in urls]
        self._placement = Placement(urls)
        self._handles = 0
        self._thread = LoopThread("remote-student")

    def verify(self) -> list[StudentInfo]:
        """Do the handshake with every replica now: the grammar is loaded, the vocabulary is ours, prefixes are cached.

        Raises:
            StudentError: a server is out of reach, is another student's, or is started without what it needs.
        """
        async def every() -> list[StudentInfo]:
            return [await replica.handshake.result() for replica in self._replicas]

        try:
            known = self._thread.run(every()).result()
        except (TransientError, PermanentError) as error:
            raise StudentError(str(error)) from error
        if len({info.model for info in known}) > 1:
            served = ", ".join(f"{replica.client.url}: {info.model}"
                               for replica, info in zip(self._replicas, known, strict=True))
            raise StudentError(f"the student's replicas serve different models ({served}): start them with the same "
                               "weights")
        return known

    @property
    def up(self) -> bool:
        """Whether some replica may be asked now."""
        return any(replica.breaker.seconds_left == 0 for replica in self._replicas)

    def begin(self, row: Row, calls_left: int, seed: int) -> SegmentStream:
        """Ask for the row's next segment and return at once; a fault is the stream's error."""
        options = row.options
        request = SegmentRequest(row.request.prompt_ids, tuple(row.ids), row.remaining, calls_left,
                                 options.max_call_tokens, options.call_bias, options.temperature, options.top_p, seed,
                                 options.logprobs, options.top_logprobs, row.session)
        stream = SegmentStream(self._news.set)
        codec = SegmentCodec(request, self.commands, self.ends, self._vocabulary, stream)
        task = self._thread.run(self._run(request, codec, stream))

        def cancel() -> None:
            stream.close()
            task.cancel()

        stream.cancel = cancel
        return stream

    def wait(self, seconds: float) -> bool:
        """Sleep until some segment has news, at most so long."""
        return wait_for_news(self._news, seconds)

    def open(self) -> int:
        """A handle for a new row; the servers hold the caches."""
        self._handles += 1
        return self._handles

    def close(self, row: int) -> None:
        """Nothing to do: nothing is kept per row."""

    def reserve(self, rows: int, tokens: int) -> None:
        """Nothing to do: the servers manage their own memory."""

    def shut_down(self) -> None:
        """End all requests and let the connections go, once or again, from any thread."""
        self._thread.close(*(replica.client.close for replica in self._replicas))

    def _replica(self, url: str, tokenizer: Tokenizer, model: str | None, api_key: str | None) -> _Replica:
        client = CompletionClient(url, self.options, api_key=api_key, role="student", key_variable=KEY_VARIABLE)
        return _Replica(client, StudentHandshake(client, tokenizer, self.commands,
                                                  model or os.environ.get(MODEL_VARIABLE) or None),
                        CircuitBreaker(self.options.breaker_failures, self.options.breaker_seconds))

    def _order(self, session: int) -> list[_Replica]:
        """The replicas as the answer asks them: the same first one for all of its segments."""
        return [self._replicas[place] for place in self._placement.order(session, [one.load for one in self._replicas])]

    async def _run(self, request: SegmentRequest, codec: SegmentCodec, stream: SegmentStream) -> None:
        limit = self.options.stall_seconds + request.remaining * self.options.token_seconds
        try:
            async with asyncio.timeout(limit):
                await self._attempts(request, codec)
        except TimeoutError:
            stream.fail(f"student at {self.name} did not write {request.remaining} tokens within {limit:g} s: is it "
                        "overloaded?")
        except (TransientError, PermanentError) as error:
            stream.fail(f"{error}; {self.options.attempts} attempts at {len(self._replicas)} servers are allowed")
        except Exception as error:  # a bug must not leave a row waiting
            stream.fail(f"a segment broke off: {type(error).__name__}: {error}")
        else:
            stream.close(finished=codec.finished)

    async def _attempts(self, request: SegmentRequest, codec: SegmentCodec) -> None:
        """One attempt after the other, each at the first replica whose circuit is closed."""
        jitter, order, attempt = random.Random(request.seed), self._order(request.session), 0
        while True:
            replica = next((one for one in order if one.breaker.admits()), None)
            if replica is None:
                raise TransientError(f"no server of the student answers ({self.name})")
            try:
                with replica.busy():
                    await self._attempt(replica, codec)
            except TransientError as fault:
                replica.breaker.failed()
                order.append(order.pop(order.index(replica)))
                attempt += 1
                if attempt >= self.options.attempts:
                    raise
                await asyncio.sleep(self.options.pause_before(attempt, fault.after, jitter.random()))
            except PermanentError as refusal:
                if refusal.about_request:
                    replica.breaker.succeeded()  # the server is well: it read the request and answered
                else:
                    replica.breaker.failed()
                    replica.handshake.forget()
                raise
            else:
                replica.breaker.succeeded()
                self._placement.settle(request.session, self._replicas.index(replica))
                return

    async def _attempt(self, replica: _Replica, codec: SegmentCodec) -> None:
        known = await replica.handshake.result()
        if codec.whole:
            return  # cut after its last token
        async with aclosing(replica.client.complete({"model": known.model, **codec.request()})) as parts:
            async for part in parts:
                if isinstance(part, Usage):
                    codec.usage(part)
                else:
                    codec.read(part)
        if not codec.whole:
            raise TransientError(f"{replica.client.url} ended a segment without a command, an end of text or its "
                                 "budget")
