"""From a request to its completions: options, allowance, requests, and what comes back."""

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
        deployment = self.jobs.model_router.pick(body.model)
        prompts = await read_prompts(body, deployment)
        kind = "chat.completion" if isinstance(body, ChatRequest) else "text_completion"
        if body.stream and isinstance(body, ChatRequest):
            kind += ".chunk"
        job = Job(deployment, key, ResponseMeta.new(kind, deployment.name, deployment.version, deployment.alias),
                  prompts)
        if body.limit != 0:
            plans = [Plan(prompt, options, 0, sample) for prompt in prompts
                     for options in [options_for(body, deployment, prompt)] for sample in range(body.samples)]
            seed = body.seed if body.seed is not None else secrets.randbits(31)
            self.jobs.request(job, plans, seed, body.asked, streamed=bool(body.stream))
        if isinstance(body, CompletionRequest) and body.scores_prompt:
            self.jobs.ask_aside(job, [partial(score, deployment.decoder, prompt.ids, body.likeliest)
                                      for prompt in prompts])
        return job

    async def chunks(self, job: Job, body: AnyRequest) -> AsyncIterator[bytes]:
        """A request's answer as server-sent events; what comes together is yielded together."""
        told = ChunkWriter(job.meta, job.deployment.response_tokenizer, chat=isinstance(body, ChatRequest),
                           usage=body.with_usage,
                           scored=body.wants_logprobs, stop=body.stops)
        yield b"".join(self._beginnings(job, body, told))
        done: dict[int, Trace] = {}
        while len(done) < len(job.requests):
            outputs = await job.collector.take(SILENCE_SECONDS)
            broken = next((one.error for one in outputs if one.error is not None), None)
            if broken is not None:
                yield _failure(str(broken))
                return
            chunks = [chunk for one in outputs for chunk in self._continued(job, told, one, done)]
            yield b"".join(chunks) if outputs else b": still at work\n\n"
        traces = [done[index] for index in range(len(done))]
        yield (told.usage(usage(traces, body.samples)) if body.with_usage else b"") + DONE

    def _beginnings(self, job: Job, body: AnyRequest, told: ChunkWriter) -> Iterator[bytes]:
        """What stands before the first token: the role, or the echoed prompt."""
        for request in job.requests:
            prompt = job.prompts[request.index // body.samples]
            echo = prompt.text if isinstance(body, CompletionRequest) and body.echo else ""
            if isinstance(body, ChatRequest) or echo:
                yield told.first(request.index, echo)

    def _continued(self, job: Job, told: ChunkWriter, outputs: RequestOutput,
                   done: dict[int, Trace]) -> Iterator[bytes]:
        """The chunks of one piece of news; the completion that ends last brings the summary."""
        index = outputs.request.index
        if outputs.delta is not None:
            yield from told.tokens(index, outputs.delta)
        if outputs.trace is not None:
            done[index] = outputs.trace
            whole = len(done) == len(job.requests)
            yield from told.last(index, outputs.trace, summary(job, [done[place] for place in sorted(done)])
                                 if whole else None)

    async def scores(self, job: Job) -> list[PromptLogprobs]:
        """Log-probabilities of the prompts' own tokens; none when the request does not ask for them."""
        return [await asyncio.wrap_future(future) for future in job.asides]


def summary(job: Job, traces: Sequence[Trace]) -> Json:
    """The field `relay` of an answer."""
    degraded = [is_degraded(request, trace) for request, trace in zip(job.requests, traces, strict=True)]
    return relay_field(traces, degraded, job.meta)


async def read_prompts(body: AnyRequest, deployment: Deployment) -> list[EncodedPrompt]:
    """The prompts of a request as token ids."""
    if isinstance(body, ChatRequest):
        return [await deployment.prompt_encoder.chat([message.plain for message in body.messages])]
    return [await (deployment.prompt_encoder.text(prompt)
                   if isinstance(prompt, str) else deployment.prompt_encoder.ids(prompt))
            for prompt in body.prompts]


def options_for(body: AnyRequest, deployment: Deployment, prompt: EncodedPrompt) -> Options:
    """The decoder's options for one prompt of a request.

    Raises:
        ApiError: prompt and answer do not fit into the models' context.
    """
    context = deployment.decoder.context_length or NO_CONTEXT
    length = max(len(prompt.ids), len(prompt.teacher_ids or ()))
    room = context - length
    if room < 1 or (body.limit or 0) > room:
        raise bad_request(f"the prompt has {length} tokens and {body.limit or 1} are asked for, the models read "
                          f"{context} together: shorten the prompt or ask for less", "messages" if isinstance(
                              body, ChatRequest) else "prompt", "context_length_exceeded")
    asked, own = body.asked, deployment.defaults
    try:
        return replace(
            own, max_new_tokens=body.limit or min(own.max_new_tokens, room),
            temperature=own.temperature if body.temperature is None else body.temperature,
            top_p=own.top_p if body.top_p is None else body.top_p, stop=body.stops, teacher_enabled=asked.teacher,
            max_calls=own.max_calls if asked.max_calls is None else asked.max_calls,
            call_bias=asked.call_bias
                       if asked.call_ratio is None else bias_for(deployment.bias_curve, asked.call_ratio),
            top_logprobs=body.likeliest)
    except ConfigError as error:
        raise bad_request(str(error)) from error


def _failure(message: str) -> bytes:
    from relayllm.serving.api.streaming import sse
    from relayllm.serving.errors import error_body

    message = message.encode("utf-8", "replace").decode()
    return sse(error_body(503, f"the decoder failed on this request: {message}", "unavailable"))
