"""From a request to its completions: options, allowance, orders, and what comes back."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from functools import partial

from relayllm.errors import ConfigError
from relayllm.packaging.folder import bias_for
from relayllm.relay.options import Options
from relayllm.relay.trace import Trace
from relayllm.serving.api.jobs import Job, Jobs, Plan, begun
from relayllm.serving.api.protocol import AnyRequest, ChatRequest, CompletionRequest
from relayllm.serving.api.responses import PromptLogprobs, ResponseMeta, relay_field, usage
from relayllm.serving.api.streaming import DONE, SILENCE_SECONDS, ChunkWriter
from relayllm.serving.auth import Key
from relayllm.serving.engine.prompts import EncodedPrompt
from relayllm.serving.engine.requests import RequestOutput
from relayllm.serving.engine.scoring import score
from relayllm.serving.errors import bad_request
from relayllm.serving.models.router import Deployment, is_degraded

NO_CONTEXT = 32768
"""Tokens of prompt and completion when no model says how many it reads."""
Json = dict[str, object]


class Answering:
    """The OpenAI-compatible requests."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs

    async def begin(self, body: AnyRequest, key: Key) -> Job:
        """Check a request, encode it, and queue its completions.

        Raises:
            ApiError: it cannot be answered, or not now.
        """
        return await begun(lambda: self._begin(body, key))

    async def _begin(self, body: AnyRequest, key: Key) -> Job:
        served = self.jobs.fleet.pick(body.model)
        prompts = await read_prompts(body, served)
        kind = "chat.completion" if isinstance(body, ChatRequest) else "text_completion"
        if body.stream and isinstance(body, ChatRequest):
            kind += ".chunk"
        job = Job(served, key, ResponseMeta.new(kind, served.name, served.version, served.alias), prompts)
        if body.limit != 0:
            plans = [Plan(prompt, options, 0, sample) for prompt in prompts
                     for options in [options_for(body, served, prompt)] for sample in range(body.samples)]
            seed = body.seed if body.seed is not None else secrets.randbits(31)
            self.jobs.order(job, plans, seed, body.asked, streamed=bool(body.stream))
        if isinstance(body, CompletionRequest) and body.scores_prompt:
            self.jobs.ask_aside(job, [partial(score, served.decoder, prompt.ids, body.likeliest)
                                      for prompt in prompts])
        return job

    async def chunks(self, job: Job, body: AnyRequest) -> AsyncIterator[bytes]:
        """A request's answer as server-sent events; what comes together is yielded together."""
        told = ChunkWriter(job.head, job.served.words, chat=isinstance(body, ChatRequest), usage=body.with_usage,
                      scored=body.wants_logprobs, stop=body.stops)
        yield b"".join(self._beginnings(job, body, told))
        done: dict[int, Trace] = {}
        while len(done) < len(job.orders):
            news = await job.inbox.take(SILENCE_SECONDS)
            broken = next((one.error for one in news if one.error is not None), None)
            if broken is not None:
                yield _failure(str(broken))
                return
            chunks = [chunk for one in news for chunk in self._continued(job, told, one, done)]
            yield b"".join(chunks) if news else b": still at work\n\n"
        traces = [done[index] for index in range(len(done))]
        yield (told.usage(usage(traces, body.samples)) if body.with_usage else b"") + DONE

    def _beginnings(self, job: Job, body: AnyRequest, told: ChunkWriter) -> Iterator[bytes]:
        """What stands before the first token: the role, or the echoed prompt."""
        for order in job.orders:
            prompt = job.prompts[order.index // body.samples]
            echo = prompt.text if isinstance(body, CompletionRequest) and body.echo else ""
            if isinstance(body, ChatRequest) or echo:
                yield told.first(order.index, echo)

    def _continued(self, job: Job, told: ChunkWriter, news: RequestOutput, done: dict[int, Trace]) -> Iterator[bytes]:
        """The chunks of one piece of news; the completion that ends last brings the summary."""
        index = news.order.index
        if news.piece is not None:
            yield from told.tokens(index, news.piece)
        if news.trace is not None:
            done[index] = news.trace
            whole = len(done) == len(job.orders)
            yield from told.last(index, news.trace, summary(job, [done[place] for place in sorted(done)])
                                 if whole else None)

    async def scores(self, job: Job) -> list[PromptLogprobs]:
        """Log-probabilities of the prompts' own tokens; none when the request does not ask for them."""
        return [await asyncio.wrap_future(future) for future in job.asides]


def summary(job: Job, traces: Sequence[Trace]) -> Json:
    """The field `relay` of an answer."""
    degraded = [is_degraded(order, trace) for order, trace in zip(job.orders, traces, strict=True)]
    return relay_field(traces, degraded, job.head)


async def read_prompts(body: AnyRequest, served: Deployment) -> list[EncodedPrompt]:
    """The prompts of a request as token ids."""
    if isinstance(body, ChatRequest):
        return [await served.reader.chat([message.plain for message in body.messages])]
    return [await (served.reader.text(prompt) if isinstance(prompt, str) else served.reader.ids(prompt))
            for prompt in body.prompts]


def options_for(body: AnyRequest, served: Deployment, prompt: EncodedPrompt) -> Options:
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
            max_calls=own.max_calls if asked.max_calls is None else asked.max_calls,
            call_bias=asked.dial if asked.call_ratio is None else bias_for(served.dial, asked.call_ratio),
            top_logprobs=body.likeliest)
    except ConfigError as error:
        raise bad_request(str(error)) from error


def _failure(message: str) -> bytes:
    from relayllm.serving.api.streaming import sse
    from relayllm.serving.errors import error_body

    message = message.encode("utf-8", "replace").decode()
    return sse(error_body(503, f"the decoder failed on this request: {message}", "unavailable"))
