"""`/invocations`: what MLflow's scoring server takes and answers, from the shared batch, and as a stream.

Bodies are read, checked and answered by MLflow's own functions and by the pyfunc's; only the writing is the server's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from relayllm.errors import ConfigError
from relayllm.relay.detokenizer import Detokenizer
from relayllm.relay.events import Event
from relayllm.relay.options import Options
from relayllm.relay.trace import Trace
from relayllm.serving.api.completions import NO_CONTEXT
from relayllm.serving.api.jobs import Job, Jobs, Plan, begun
from relayllm.serving.api.protocol import RelayOptions
from relayllm.serving.api.responses import Json, ResponseMeta
from relayllm.serving.api.routes import FAULTS, GONE, Asker
from relayllm.serving.api.streaming import DONE, SILENCE_SECONDS, EventStream, sse, unless_gone
from relayllm.serving.auth import Key
from relayllm.serving.engine.prompts import EncodedPrompt
from relayllm.serving.engine.requests import TokenDelta
from relayllm.serving.errors import bad_request, error_body
from relayllm.serving.models.router import Deployment

FORMATS = ("inputs", "instances", "dataframe_split", "dataframe_records")


class Invocation(BaseModel):
    """`POST /invocations`: one of MLflow's four ways to give a table with a column `prompt`, and parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    inputs: Any = None
    instances: Any = None
    dataframe_split: dict[str, Any] | None = None
    dataframe_records: list[Any] | None = None
    params: dict[str, Any] | None = Field(default=None, description="max_new_tokens, temperature, ...; and stream")
    stream: bool = Field(default=False, description="true: token by token, as server-sent events; one prompt")

    @property
    def table(self) -> Json:
        """What MLflow reads."""
        given = {name: getattr(self, name) for name in FORMATS}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def streamed(self) -> bool:
        """Invocations for in either place."""
        return self.stream or (self.params or {}).get("stream") is True

    @property
    def settings(self) -> Json:
        """The parameters of the model; `stream` is none of them."""
        return {name: value for name, value in (self.params or {}).items()
                if name != "stream" or not isinstance(value, bool)}


@dataclass(frozen=True, slots=True)
class Invocations:
    """A body as the pyfunc would have read it."""

    prompts: list[str]
    options: dict[str, Any]


def table(jobs: Jobs) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.post("/invocations", summary="Answer a table of prompts, as MLflow's scoring server does",
                 responses=FAULTS, response_model=None)
    async def invocations(body: Invocation, request: Request, key: Asker) -> Response:
        job = await begun(lambda: begin(jobs, body, key))
        if body.streamed:
            return EventStream(_events(job), lambda: jobs.end(job))
        try:
            there, traces = await unless_gone(request, jobs.traces(job))
            return Response(_answer(traces), media_type="application/json") if there else Response(status_code=GONE)
        finally:
            jobs.end(job)

    return router


async def begin(jobs: Jobs, body: Invocation, key: Key) -> Job:
    """Check a table, encode it, and queue its answers.

    Raises:
        ApiError: it cannot be answered, or not now.
        Replaced: its model has been replaced meanwhile.
    """
    deployment = jobs.model_router.pick(None)
    asked = await asyncio.to_thread(read, body, deployment.defaults)
    most = deployment.engine.slots + deployment.engine.queue
    if len(asked.prompts) > most:
        raise bad_request(f"the table has {len(asked.prompts)} prompts, this server takes {most} at once: split it")
    if body.streamed and len(asked.prompts) != 1:
        raise bad_request(f"a stream writes one answer and got {len(asked.prompts)} prompts: send one for each")
    prompts = [await deployment.prompt_encoder.chat([{"role": "user", "content": prompt}]) for prompt in asked.prompts]
    options, seed = dict(asked.options), int(asked.options["seed"])
    del options["seed"]
    try:
        chosen = Options(**options)
    except ConfigError as error:
        raise bad_request(str(error), "params") from error
    plans = [Plan(prompt, _fitting(chosen, deployment, prompt), row) for row, prompt in enumerate(prompts)]
    job = Job(deployment, key, ResponseMeta.new("invocation", deployment.name, deployment.version, deployment.alias),
              prompts)
    jobs.request(job, plans, seed, RelayOptions(teacher=chosen.teacher_enabled), streamed=body.streamed)
    return job


def read(body: Invocation, defaults: Options) -> Invocations:
    """A body through MLflow's reading and the model's signature.

    Raises:
        ApiError: MLflow or the pyfunc refuse it.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model
    from mlflow.pyfunc import PyFuncModel
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    from relayllm.packaging.pyfunc import refuse_unknown_params, signature

    decoding = asdict(defaults)
    refuse_unknown_params()
    model = PyFuncModel(Model(signature=signature(decoding)), _Reading(decoding))
    try:
        given = infer_and_parse_data(body.table, model.metadata.get_input_schema())
        return model.predict(given, params=body.settings)  # type: ignore[no-any-return]
    except MlflowException as error:
        raise bad_request(_plain(error.message)) from error
    except Exception as error:  # what pandas makes of a strange table; MLflow calls it a bad request, too
        raise bad_request(_plain(f"this table cannot be read: {type(error).__name__}: {error}")) from error


def _plain(said: str) -> str:
    return str(said)[:1000].encode("utf-8", "replace").decode()


class _Reading:
    """Stands where the model would: says what it was asked instead of an answer."""

    def __init__(self, decoding: dict[str, Any]) -> None:
        self._decoding = decoding

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Invocations:
        from relayllm.packaging.pyfunc import read_params, read_prompts

        return Invocations(read_prompts(model_input), read_params(params, self._decoding))


def _fitting(options: Options, deployment: Deployment, prompt: EncodedPrompt) -> Options:
    """Like the pyfunc: an answer that might not fit is refused, not cut."""
    context = deployment.decoder.context_length or NO_CONTEXT
    length = max(len(prompt.ids), len(prompt.teacher_ids or ()))
    if length + options.max_new_tokens > context:
        raise bad_request(f"the prompt has {length} tokens and max_new_tokens is {options.max_new_tokens}, together "
                          f"more than the {context} the models can read: shorten the prompt or ask for less")
    return options


def _answer(traces: Sequence[Trace]) -> str:
    from mlflow.pyfunc.scoring_server import predictions_to_json

    from relayllm.packaging.pyfunc import answer_table

    text = StringIO()
    predictions_to_json(answer_table(traces), text)
    return text.getvalue()


async def _events(job: Job) -> AsyncIterator[bytes]:
    """A line per token as `predict_stream` yields them, then the row that `predict` returns."""
    words = job.deployment.response_tokenizer
    text, position = Detokenizer(words.tokenizer, words.commands), 0
    while True:
        outputs = await job.collector.take(SILENCE_SECONDS)
        if not outputs:
            yield b": still at work\n\n"
        for one in outputs:
            if one.error is not None:
                yield sse(error_body(503, _plain(f"the decoder failed on this request: {one.error}"), "unavailable"))
                return
            if one.delta is not None:
                yield b"".join(_lines(one.delta, text, position))
                position += len(one.delta.ids)
            if one.trace is not None:
                yield b"data: " + _answer([one.trace]).encode() + b"\n\n" + DONE
                return


def _lines(delta: TokenDelta, text: Detokenizer, position: int) -> Iterator[bytes]:
    from relayllm.packaging.pyfunc import event_row

    for place, (token, author) in enumerate(zip(delta.ids, delta.authors, strict=True)):
        yield sse(event_row(Event(token, text.push(token, author), author, position + place)))
