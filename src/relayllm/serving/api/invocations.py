"""`/invocations`: what MLflow's scoring server takes and answers, from the shared batch, and as a stream.

Bodies are read, checked and answered by MLflow's own functions and by the pyfunc's; only the writing is the server's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from io import StringIO
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field, model_validator

from relayllm.errors import ConfigError
from relayllm.relay.detokenizer import Detokenizer
from relayllm.relay.events import Event
from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.trace import Trace
from relayllm.serving.api.completions import room_for
from relayllm.serving.api.fields import RelayOptions
from relayllm.serving.api.jobs import Job, Jobs
from relayllm.serving.api.routes import FAULTS, CallerKey, ignored_fields
from relayllm.serving.api.schemas.answers import TableAnswer
from relayllm.serving.api.streaming import DONE, SILENCE, SILENCE_SECONDS, EventStream, sse, whole
from relayllm.serving.api.unsupported import Body, conflict, whole_number
from relayllm.serving.auth import Key
from relayllm.serving.engine.requests import TokenDelta
from relayllm.serving.errors import Json, bad_request
from relayllm.serving.models.router import Deployment

ROWS, SPLIT = '[{"prompt": "..."}]', '{"columns": ["prompt"], "data": [["..."]]}'
FORMATS = {"inputs": ROWS, "instances": ROWS, "dataframe_split": SPLIT, "dataframe_records": ROWS}
"""MLflow's ways to give a table, and what each looks like here."""


class Invocation(Body):
    """`POST /invocations`: one of MLflow's four ways to give a table with a column `prompt`, and parameters."""

    inputs: Any = None
    instances: Any = None
    dataframe_split: Json | None = None
    dataframe_records: list[Any] | None = None
    params: Json | None = Field(default=None, description="max_new_tokens, temperature, ...; and stream")
    stream: bool = Field(default=False, description="true: token by token, as server-sent events; one prompt")

    @property
    def table(self) -> Json:
        """The body without what is ours, as MLflow's scoring server reads it."""
        given = {name: getattr(self, name) for name in FORMATS}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def streamed(self) -> bool:
        """Whether either place asks for a stream."""
        return self.stream or (self.params or {}).get("stream") is True

    @property
    def settings(self) -> Json:
        """The parameters of the model; `stream` is none of them, and a null is as absent."""
        return {name: whole_number(value) for name, value in (self.params or {}).items()
                if value is not None and (name != "stream" or not isinstance(value, bool))}

    @model_validator(mode="after")
    def _gives_one_table(self) -> Invocation:
        if len(self.table) != 1:
            raise conflict("inputs", f"give exactly one of {', '.join(FORMATS)}: the body has "
                                     f"{' and '.join(self.table) or 'none'}")
        return self


@dataclass(frozen=True, slots=True)
class Invocations:
    """A body as the pyfunc would have read it."""

    prompts: list[str]
    options: Json


def table(jobs: Jobs) -> APIRouter:
    """The router with `POST /invocations`."""
    router = APIRouter()

    @router.post("/invocations", summary="Answer a table of prompts, as MLflow's scoring server does",
                 responses={200: {"model": TableAnswer}, **FAULTS}, response_model=None)
    async def invocations(body: Invocation, request: Request, key: CallerKey) -> Response:
        headers = ignored_fields(body, jobs.limits)
        job = await begin_table(jobs, body, key)
        if body.streamed:
            return EventStream(_events(job), job.end, headers)
        return await whole(request, job.traces(), partial(_answer, job), job.end, headers)

    return router


async def begin_table(jobs: Jobs, body: Invocation, key: Key) -> Job:
    """Check a table, encode it, and queue its answers.

    Raises:
        ApiError: it cannot be answered, or not now.
    """
    from relayllm.packaging.pyfunc import with_call_setting

    with jobs.model_router.pick(None).held() as deployment:
        asked = await asyncio.to_thread(read, body, deployment.defaults)
        _check_size(body, asked, deployment)
        prompts = [await deployment.prompt_encoder.chat([{"role": "user", "content": prompt}])
                   for prompt in asked.prompts]
        try:
            given = with_call_setting(asked.options, deployment.bias_curve)
            options = Options(**{name: value for name, value in given.items() if name != "seed"})
        except ConfigError as error:
            raise bad_request(str(error), "params") from error
        for prompt in prompts:  # like the pyfunc: an answer that might not fit is refused, not cut
            room_for(deployment, prompt, options.max_new_tokens, next(iter(body.table)), "params")
        job = Job(deployment, prompts)
        jobs.submit(job, [GenerationRequest(prompt.ids, options, int(asked.options["seed"]), row, 0,
                                            prompt.teacher_ids, prompt.messages) for row, prompt in enumerate(prompts)],
                    key, RelayOptions(teacher=options.teacher_enabled), streamed=body.streamed)
    return job


def _check_size(body: Invocation, asked: Invocations, deployment: Deployment) -> None:
    count, most = len(asked.prompts), deployment.engine.slots + deployment.engine.queue
    if count > most:
        raise bad_request(f"the table has {count} prompts, this server takes {most} at once: split it")
    if body.streamed and count != 1:
        raise bad_request(f"a stream writes one answer and got {count} prompts: send one for each")


def read(body: Invocation, defaults: Options) -> Invocations:
    """A body through MLflow's reading and the model's signature.

    Raises:
        ApiError: MLflow or the pyfunc refuse it.
    """
    from mlflow.exceptions import MlflowException

    from relayllm.packaging.pyfunc import read_params, read_prompts

    decoding = asdict(defaults)
    try:
        options = read_params(body.settings, decoding)
    except MlflowException as error:
        raise bad_request(_plain(error.message), "params") from error
    given = _read_table(body, decoding)
    try:
        return Invocations(read_prompts(given), options)
    except MlflowException as error:
        raise bad_request(_plain(error.message), next(iter(body.table))) from error


def _read_table(body: Invocation, decoding: Json) -> Any:
    """The table as MLflow gives it to a model with the signature of ours.

    Raises:
        ApiError: it cannot be read; MLflow's and pandas' words for that are no client's.
    """
    from mlflow.models import Model
    from mlflow.pyfunc import PyFuncModel
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    from relayllm.packaging.pyfunc import signature

    model = PyFuncModel(Model(signature=signature(decoding)), _Reading())
    try:
        return model.predict(infer_and_parse_data(body.table, model.metadata.get_input_schema()))
    except Exception as error:  # MLflow calls what pandas makes of a strange table a bad request, too
        (name, _), = body.table.items()
        raise bad_request(f"{name} holds no table with a column `prompt` of texts: give {FORMATS[name]}",
                          name) from error


def _plain(said: str) -> str:
    return str(said)[:1000].encode("utf-8", "replace").decode()


class _Reading:
    """Stands where the model would: says what it was given instead of an answer."""

    def predict(self, model_input: object, params: Json | None = None) -> object:
        return model_input


def _answer(job: Job, traces: Sequence[Trace]) -> str:
    from mlflow.pyfunc.scoring_server import predictions_to_json

    from relayllm.packaging.pyfunc import answer_row, answer_table

    prices = job.deployment.prices
    rows = [answer_row(trace, request.degraded_by(trace),
                       prices.cost(trace.ledger, trace.calls) if prices.known else None)
            for request, trace in zip(job.requests, traces, strict=True)]
    text = StringIO()
    predictions_to_json(answer_table(rows), text)
    return text.getvalue()


async def _events(job: Job) -> AsyncIterator[bytes]:
    """A line per token as `predict_stream` yields them, then the row that `predict` returns."""
    reader = job.deployment.response_tokenizer
    text, position = Detokenizer(reader.tokenizer, reader.commands), 0
    async for outputs in job.outputs(SILENCE_SECONDS):
        if not outputs:
            yield SILENCE
        for output in outputs:
            if output.delta is not None:
                yield b"".join(_lines(output.delta, text, position))
                position += len(output.delta.ids)
            if output.trace is not None:
                yield b"data: " + _answer(job, [output.trace]).encode() + b"\n\n" + DONE


def _lines(delta: TokenDelta, text: Detokenizer, position: int) -> Iterator[bytes]:
    from relayllm.packaging.pyfunc import event_row

    for place, (token, author) in enumerate(zip(delta.ids, delta.authors, strict=True)):
        yield sse(event_row(Event(token, text.push(token, author), author, position + place)))
