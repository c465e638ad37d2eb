"""A student behind vLLM servers that run the relay grammar: replicas, failover, one event loop in a thread of its
own."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import threading
from collections.abc import Sequence
from contextlib import aclosing

from relayllm.engines.commands import command_tokens
from relayllm.engines.openai.beginnings import PROBES, WeightProbe, same_weights
from relayllm.engines.openai.breaker import CircuitBreaker
from relayllm.engines.openai.client import CompletionClient
from relayllm.engines.openai.loop_thread import LoopThread, wait_for_news
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.placement import Placement
from relayllm.engines.openai.segments import SegmentCodec, SegmentRequest, SegmentStream
from relayllm.engines.openai.student_handshake import MODEL_VARIABLE, StudentHandshake, StudentInfo
from relayllm.engines.openai.student_replica import StudentReplica
from relayllm.engines.openai.wire import PermanentError, TransientError
from relayllm.errors import ConfigError, StudentError
from relayllm.relay.protocols import Tokenizer, Usage
from relayllm.relay.row import Row
from relayllm.settings import without_secrets

KEY_VARIABLE = "RELAY_STUDENT_API_KEY"
LOG = logging.getLogger("relayllm.engines.openai")


class OpenAIStudent:
    """Implements `relay.remote_session.RemoteStudent` over one or several vLLM servers of the same model.

    All segments of an answer go to one replica, so that its prefix cache knows what came before: the first by
    rendezvous hashing that is not far busier than the others when the answer begins (see `placement`). A replica that
    fails is left out until its circuit closes; the answer goes on at the next one with what was received.

    `questions` are what the replicas tell their weights by: each must answer them as is known, and as the others do,
    whenever it is met; None for some of our own, an empty sequence for servers whose weights follow a training.
    """

    def __init__(self, urls: Sequence[str], tokenizer: Tokenizer, *, model: str | None = None,
                 options: RemoteOptions | None = None, api_key: str | None = None, ends: frozenset[int] = frozenset(),
                 news: threading.Event | None = None, questions: Sequence[WeightProbe] | None = None) -> None:
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
        self._first: tuple[str, StudentInfo] | None = None
        """The replica that was met first, which the others are held against."""
        self._questions = _own_questions(tokenizer) if questions is None else questions
        self._replicas = [self._replica(url, tokenizer, model, api_key) for url in urls]
        self._placement = Placement(urls)
        self._handles = 0
        self._watching: asyncio.Task[None] | None = None
        self._thread = LoopThread("remote-student")

    def verify(self) -> list[StudentInfo]:
        """Meet every replica now, and keep an eye on all of them from here on.

        Returns:
            What is known of those that answer; one at least does, and the others are met when they are back.

        Raises:
            StudentError: none is in reach; one is another student's, or is started without what it needs.
        """
        found = self._thread.run(self._meet_all()).result()
        met = [one for one in found if isinstance(one, StudentInfo)]
        for fault in found:
            if isinstance(fault, TransientError) and met:
                LOG.warning("%s; the student's other servers are asked until it is back", fault)
            elif isinstance(fault, BaseException):
                raise StudentError(str(fault)) from fault
        return met

    @property
    def up(self) -> bool:
        """Whether some replica may be asked now."""
        return any(self.replicas_up)

    @property
    def replicas_up(self) -> list[bool]:
        """Of each replica, in the order of the addresses, whether it may be asked now."""
        return [replica.up for replica in self._replicas]

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

    def _replica(self, url: str, tokenizer: Tokenizer, model: str | None, api_key: str | None) -> StudentReplica:
        client = CompletionClient(url, self.options, api_key=api_key, role="student", key_variable=KEY_VARIABLE)
        handshake = StudentHandshake(client, tokenizer, self.commands,
                                     model or os.environ.get(MODEL_VARIABLE) or None, self._questions, self._compare)
        return StudentReplica(client, handshake,
                              CircuitBreaker(self.options.breaker_failures, self.options.breaker_seconds))

    def _compare(self, url: str, info: StudentInfo) -> None:
        """Hold a replica that was met against the first one; it may be the same, started again.

        Raises:
            PermanentError: it has another name, or other weights.
        """
        first, theirs = self._first = self._first or (url, info)
        if info.model != theirs.model:
            raise PermanentError(f"the student's replicas serve different models ({first}: {theirs.model}, {url}: "
                                 f"{info.model}): start them with the same weights")
        if not same_weights(info.beginnings, theirs.beginnings):
            raise PermanentError(f"student at {url} has other weights than the one that was met first, at {first}: "
                                 "start it with the same folder, or, where all have new weights, meet them anew: start "
                                 "again what asks them")

    async def _meet_all(self) -> list[StudentInfo | BaseException]:
        self._watching = self._watching or asyncio.create_task(self._watch())
        return await asyncio.gather(*(replica.handshake.result() for replica in self._replicas),
                                    return_exceptions=True)

    async def _watch(self) -> None:
        """See again and again which replicas have gone, and which are back, whether somebody asks them or not."""
        while True:
            await asyncio.sleep(self.options.breaker_seconds / 4)
            await asyncio.gather(*(replica.look() for replica in self._replicas), return_exceptions=True)

    def _order(self, session: int) -> list[StudentReplica]:
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
        last: TransientError | PermanentError = TransientError(f"no server of the student answers ({self.name})")
        while (replica := next((one for one in order if one.breaker.admits()), None)) is not None:
            try:
                with replica.busy():
                    await self._attempt(replica, codec)
            except (TransientError, PermanentError) as fault:
                replica.suffered(fault)
                order.append(order.pop(order.index(replica)))
                attempt, last = attempt + 1, fault
                if attempt >= self.options.attempts or (isinstance(fault, PermanentError) and fault.about_request):
                    break
                if isinstance(fault, TransientError):
                    await asyncio.sleep(self.options.pause_before(attempt, fault.after, jitter.random()))
            else:
                replica.breaker.succeeded()
                self._placement.settle(request.session, self._replicas.index(replica))
                return
        raise last

    async def _attempt(self, replica: StudentReplica, codec: SegmentCodec) -> None:
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


def _own_questions(tokenizer: Tokenizer) -> list[WeightProbe]:
    return [WeightProbe(tuple(tokenizer.encode(probe, add_special_tokens=False))) for probe in PROBES]
