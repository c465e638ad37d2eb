"""From a request to its completions: options, allowance, orders, and what comes back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from relayllm.errors import ConfigError
from relayllm.relay.options import Options
from relayllm.relay.scheduler import Request
from relayllm.relay.trace import Trace
from relayllm.serving.answers import Head, Scores, relay_field, usage
from relayllm.serving.api import AnyRequest, ChatRequest, CompletionRequest
from relayllm.serving.budgets import Allowance, Key, Keys
from relayllm.serving.errors import ApiError, bad_request, unavailable
from relayllm.serving.fleet import Fleet, Served, is_degraded
from relayllm.serving.metrics import Metrics
from relayllm.serving.orders import Broken, Busy, Inbox, News, Order
from relayllm.serving.prompts import ReadPrompt
from relayllm.serving.scoring import score
from relayllm.serving.streams import DONE, SILENCE_SECONDS, Chunks

NO_CONTEXT = 32768
"""Tokens of prompt and completion when no model says how many it reads."""
Json = dict[str, object]


@dataclass
class Job:
    """One HTTP request while it is answered."""

    body: AnyRequest
    served: Served
    key: Key
    prompts: list[ReadPrompt]
    head: Head
    orders: list[Order] = field(default_factory=list)
    taken: int = 0
    """Teacher tokens set aside from the key's budget."""
    closed: bool = False


class Answering:
    """Takes requests in, and lets them go again."""

    def __init__(self, fleet: Fleet, keys: Keys, metrics: Metrics) -> None:
        self._fleet, self._keys, self._metrics = fleet, keys, metrics

    async def begin(self, body: AnyRequest, key: Key) -> Job:
        """Check a request, encode it, and queue its completions.

        Raises:
            ApiError: it cannot be answered, or not now.
        """
        served = self._fleet.pick(body.model)
        prompts = await read_prompts(body, served)
        kind = "chat.completion" if isinstance(body, ChatRequest) else "text_completion"
        if body.stream and isinstance(body, ChatRequest):
            kind += ".chunk"
        job = Job(body, served, key, prompts, Head.new(kind, served.name, served.version, served.alias))
        if body.limit != 0:
            self._order(job)
        return job

    def end(self, job: Job) -> None:
        """Free what a request holds: slots of unfinished completions, and teacher tokens it did not use."""
        if job.closed:
            return
        job.closed = True
        job.served.engine.cancel([order for order in job.orders if not order.ended])
        self._keys.give_back(job.key, job.taken - sum(order.teacher_tokens for order in job.orders))

    def _order(self, job: Job) -> None:
        plans = [(prompt, options_for(job.body, job.served, prompt)) for prompt in job.prompts]
        count = job.body.samples * len(plans)
        allowances = self._allowances(job, [options for _, options in plans for _ in range(job.body.samples)])
        seed = job.body.seed if job.body.seed is not None else secrets.randbits(31)
        inbox = Inbox()
        for index in range(count):
            prompt, options = plans[index // job.body.samples]
            allowed, short = allowances[index]
            if allowed is not None:
                options = replace(options, policy=Allowance(allowed), teacher_enabled=allowed > 0)
            request = Request(prompt.ids, options, seed, 0, index % job.body.samples, prompt.teacher_ids)
            job.orders.append(Order(request, inbox, index, bool(job.body.stream), self._fleet.watched,
                                    short=allowed if short else None))
        self._submit(job)

    def _submit(self, job: Job) -> None:
        engine = job.served.engine
        try:
            engine.submit(job.orders)
        except Busy as error:
            self.end(job)
            self._metrics.refused.labels("busy").inc()
            raise ApiError(429, f"{error}: come back in a moment", code="rate_limit_exceeded",
                           headers={"Retry-After": str(engine.retry_after)}) from error
        except Broken as error:
            self.end(job)
            raise unavailable(str(error)) from error

    def _allowances(self, job: Job, options: Sequence[Options]) -> list[tuple[int | None, bool]]:
        """Teacher tokens for each completion (None: no limit but the options'), and whether the key cut them."""
        asked, cap = job.body.asked, job.key.per_day
        if not asked.teacher or (asked.teacher_tokens is None and cap is None):
            return [(None, False)] * len(options)
        most = sum(min(one.max_calls * one.max_call_tokens, one.max_new_tokens) for one in options)
        wanted = most if asked.teacher_tokens is None else min(asked.teacher_tokens, most)
        job.taken = self._keys.take(job.key, wanted)
        share, rest = divmod(job.taken, len(options))
        return [(share + (index < rest), job.taken < wanted) for index in range(len(options))]

    async def traces(self, job: Job) -> list[Trace]:
        """All completions of a request, in their order.

        Raises:
            ApiError: the engine failed.
        """
        done: dict[int, Trace] = {}
        while len(done) < len(job.orders):
            for news in await job.orders[0].inbox.take():
                if news.error is not None:
                    raise unavailable(f"the decoder failed on this request: {news.error}")
                if news.trace is not None:
                    done[news.order.index] = news.trace
        return [done[index] for index in range(len(job.orders))]

    async def chunks(self, job: Job) -> AsyncIterator[bytes]:
        """A request's answer as server-sent events; what comes together is yielded together."""
        body = job.body
        told = Chunks(job.head, job.served.words, chat=isinstance(body, ChatRequest), usage=body.with_usage,
                      scored=body.wants_logprobs, stop=body.stops)
        yield b"".join(self._beginnings(job, told))
        done: dict[int, Trace] = {}
        while len(done) < len(job.orders):
            news = await job.orders[0].inbox.take(SILENCE_SECONDS)
            broken = next((one.error for one in news if one.error is not None), None)
            if broken is not None:
                yield _failure(str(broken))
                return
            chunks = [chunk for one in news for chunk in self._continued(job, told, one, done)]
            yield b"".join(chunks) if news else b": still at work\n\n"
        traces = [done[index] for index in range(len(done))]
        yield (told.usage(usage(traces, body.samples)) if body.with_usage else b"") + DONE

    def _beginnings(self, job: Job, told: Chunks) -> Iterator[bytes]:
        """What stands before the first token: the role, or the echoed prompt."""
        for order in job.orders:
            prompt = job.prompts[order.index // job.body.samples]
            echo = prompt.text if isinstance(job.body, CompletionRequest) and job.body.echo else ""
            if isinstance(job.body, ChatRequest) or echo:
                yield told.first(order.index, echo)

    def _continued(self, job: Job, told: Chunks, news: News, done: dict[int, Trace]) -> Iterator[bytes]:
        """The chunks of one piece of news; the completion that ends last brings the summary."""
        index = news.order.index
        if news.piece is not None:
            yield from told.tokens(index, news.piece)
        if news.trace is not None:
            done[index] = news.trace
            whole = len(done) == len(job.orders)
            yield from told.last(index, news.trace, summary(job, [done[place] for place in sorted(done)])
                                 if whole else None)

    async def scores(self, job: Job) -> list[Scores]:
        """Log-probabilities of the prompts' own tokens."""
        work = [job.served.engine.aside(lambda ids=prompt.ids: score(  # type: ignore[misc]
            job.served.decoder, ids, job.body.likeliest))
                for prompt in job.prompts]
        return [await asyncio.wrap_future(future) for future in work]


def summary(job: Job, traces: Sequence[Trace]) -> Json:
    """The field `relay` of an answer."""
    degraded = [is_degraded(order, trace) for order, trace in zip(job.orders, traces, strict=True)]
    return relay_field(traces, degraded, job.head)


async def read_prompts(body: AnyRequest, served: Served) -> list[ReadPrompt]:
    """The prompts of a request as token ids."""
    if isinstance(body, ChatRequest):
        return [await served.reader.chat([message.plain for message in body.messages])]
    return [await (served.reader.text(prompt) if isinstance(prompt, str) else served.reader.ids(prompt))
            for prompt in body.prompts]


def options_for(body: AnyRequest, served: Served, prompt: ReadPrompt) -> Options:
    """The decoder's options for one prompt of a request.

    Raises:
        ApiError: prompt and answer do not fit into the models' context.
    """
    context = served.decoder.context_length or NO_CONTEXT
    length = max(len(prompt.ids), len(prompt.teacher_ids or ()))
    room = context - length
    if room < 1 or (body.limit or 0) > room:
        raise bad_request(f"the prompt has {length} tokens and {body.limit or 1} are asked for, the models read "
                          f"{context} together: shorten the prompt or ask for less", "messages" if isinstance(
                              body, ChatRequest) else "prompt", "context_length_exceeded")
    asked, own = body.asked, served.defaults
    try:
        return replace(
            own, max_new_tokens=body.limit or min(own.max_new_tokens, room),
            temperature=own.temperature if body.temperature is None else body.temperature,
            top_p=own.top_p if body.top_p is None else body.top_p, stop=body.stops, teacher_enabled=asked.teacher,
            max_calls=own.max_calls if asked.max_calls is None else asked.max_calls, call_bias=asked.dial,
            top_logprobs=body.likeliest)
    except ConfigError as error:
        raise bad_request(str(error)) from error


def _failure(message: str) -> bytes:
    from relayllm.serving.errors import error_body
    from relayllm.serving.streams import sse

    message = message.encode("utf-8", "replace").decode()
    return sse(error_body(503, f"the decoder failed on this request: {message}", "unavailable"))
