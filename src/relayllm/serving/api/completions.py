"""From an OpenAI request to its completions, and from those to its answer, whole or as a stream."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from relayllm.errors import ConfigError, DataError
from relayllm.packaging.folder import setting_for
from relayllm.relay.bias_curve import OWN
from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.trace import Trace
from relayllm.serving.api.fields import RelayOptions
from relayllm.serving.api.jobs import Job, Jobs
from relayllm.serving.api.protocol import AnyRequest, ChatRequest, CompletionRequest
from relayllm.serving.api.responses import ChunkWriter, whole
from relayllm.serving.api.streaming import DONE, SILENCE, SILENCE_SECONDS
from relayllm.serving.auth import Key
from relayllm.serving.engine.prompts import EncodedPrompt
from relayllm.serving.engine.scoring import score
from relayllm.serving.errors import Json, bad_request, decoder_failed
from relayllm.serving.models.router import Deployment

LEAST_TOP_P = 1e-9
"""Stands for a top_p of 0, which OpenAI allows: the likeliest token alone."""


async def begin(jobs: Jobs, body: AnyRequest, key: Key) -> Job:
    """Check a request, encode it, and queue its completions.

    Raises:
        ApiError: it cannot be answered, or not now.
    """
    model, asked = asked_of(body)
    with jobs.model_router.pick(model).held() as deployment:
        prompts = await read_prompts(body, deployment)
        wanted = _least(body, cap=jobs.limits.cap_tokens)
        rooms = [room_for(deployment, prompt, wanted, body.prompt_field, body.limit_field) for prompt in prompts]
        scored = isinstance(body, CompletionRequest) and body.scores_prompt
        if scored and deployment.decoder.student_model is None:
            raise bad_request("echo with logprobs scores the prompt, which needs the student as a model folder in this "
                              "process: this server asks others, or decodes a GGUF file; leave out echo or logprobs",
                              "echo")
        job = Job(deployment, prompts)
        if body.limit != 0:
            seed = body.seed if body.seed is not None else secrets.randbits(31)
            jobs.submit(job, [GenerationRequest(prompt.ids, options, seed, 0, sample, prompt.teacher_ids,
                                                prompt.messages)
                              for prompt, room in zip(prompts, rooms, strict=True)
                              for options in [options_for(body, asked, deployment, room)]
                              for sample in range(body.samples)], key, asked, streamed=bool(body.stream))
        if isinstance(body, CompletionRequest) and scored:
            jobs.score_prompts(job, [partial(score, deployment.decoder, prompt.ids, body.likeliest)
                                     for prompt in prompts], key)
    return job


async def answer(job: Job, body: AnyRequest) -> Json:
    """The whole answer, once all of it is written.

    Raises:
        ApiError: the decoder failed.
    """
    traces = await job.traces()
    try:
        scores = [await asyncio.wrap_future(future) for future in job.scores]
    except Exception as error:
        raise decoder_failed(error) from error
    return whole(job, body, traces, scores)


async def chunks(job: Job, body: AnyRequest) -> AsyncIterator[bytes]:
    """The answer as server-sent events; what comes together is yielded together.

    Raises:
        ApiError: the decoder failed.
    """
    writer = ChunkWriter(job, body)
    yield b"".join(writer.beginnings())
    done: dict[int, Trace] = {}
    async for outputs in job.outputs(SILENCE_SECONDS):
        parts: list[bytes] = []
        for output in outputs:
            if output.delta is not None:
                parts += writer.tokens(output.request.index, output.delta)
            if output.trace is not None:
                done[output.request.index] = output.trace
                parts += writer.last(output.request.index, done)
        yield b"".join(parts) if outputs else SILENCE
    yield writer.usage(done) + DONE


async def read_prompts(body: AnyRequest, deployment: Deployment) -> list[EncodedPrompt]:
    """The prompts of a request as token ids."""
    encoder = deployment.prompt_encoder
    if isinstance(body, ChatRequest):
        return [await encoder.chat([message.plain for message in body.messages],
                                   continue_final=body.continue_final_message)]
    return [await (encoder.text(prompt) if isinstance(prompt, str) else encoder.ids(prompt))
            for prompt in body.prompts]


def asked_of(body: AnyRequest) -> tuple[str | None, RelayOptions]:
    """The model that a request names, and its relay options, with the call ratio that the name asks for.

    Raises:
        ApiError: the call ratio is given twice, or is no share.
    """
    name, ratio = name_and_ratio(body.model or "")
    if ratio is None:
        return body.model, body.asked
    if body.asked.call_ratio is not None or body.asked.setting != OWN:
        raise bad_request(f"the model's name asks for a call ratio of {ratio:g}, and relay sets another: give one of "
                          "them", "model")
    return name, body.asked.model_copy(update={"call_ratio": ratio})


def name_and_ratio(model: str) -> tuple[str, float | None]:
    """`NAME@0.02` is the model NAME with this call ratio; other names ask for none.

    Raises:
        ApiError: the call ratio is no share.
    """
    name, at, suffix = model.rpartition("@")
    try:
        ratio = float(suffix) if at else None
    except ValueError:
        ratio = None
    if ratio is None:
        return model, None
    if not 0 <= ratio <= 1:
        raise bad_request(f"the model's name asks for a call ratio of {suffix[:20]}: give a share from 0 to 1", "model")
    return name, ratio


def _least(body: AnyRequest, *, cap: bool) -> int:
    """Tokens that must fit behind a prompt: all that are asked for, or one where an answer may be cut."""
    return 1 if body.limit is None else min(1, body.limit) if cap else body.limit


def room_for(deployment: Deployment, prompt: EncodedPrompt, wanted: int, prompt_field: str, limit_field: str) -> int:
    """Tokens that an answer to a prompt may take; the fields are those of the request that say what is too long.

    Raises:
        ApiError: prompt and answer do not fit into the models' context.
    """
    try:
        return deployment.decoder.room(prompt.ids, prompt.teacher_ids, wanted=wanted)
    except DataError as error:
        param = prompt_field if wanted <= 1 or not _has_room(deployment, prompt) else limit_field
        raise bad_request(str(error), param, "context_length_exceeded") from error


def _has_room(deployment: Deployment, prompt: EncodedPrompt) -> bool:
    """Whether anything can be written after a prompt."""
    try:
        return deployment.decoder.room(prompt.ids, prompt.teacher_ids) > 0
    except DataError:
        return False


def options_for(body: AnyRequest, asked: RelayOptions, deployment: Deployment, room: int) -> Options:
    """The decoder's options for one prompt of a request, whose answer may take so many tokens.

    Raises:
        ApiError: the call ratio is out of reach.
    """
    own = deployment.defaults
    try:
        ratio = asked.call_ratio
        setting = asked.setting if ratio is None else setting_for(deployment.bias_curve, ratio)
        return replace(
            own, max_new_tokens=min(body.limit or own.max_new_tokens, room),
            temperature=own.temperature if body.temperature is None else body.temperature,
            top_p=own.top_p if body.top_p is None else max(body.top_p, LEAST_TOP_P),
            stop=body.stops, teacher_enabled=asked.teacher,
            max_calls=own.max_calls if asked.max_calls is None else asked.max_calls, **setting.options(),
            logprobs=body.wants_logprobs, top_logprobs=body.likeliest,
            score_teacher=body.wants_logprobs and asked.teacher_logprobs)
    except ConfigError as error:
        raise bad_request(str(error), "model" if body.asked.call_ratio is None else "relay.call_ratio") from error
