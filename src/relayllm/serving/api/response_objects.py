"""`POST /v1/responses`: OpenAI's newer envelope around a chat answer, without what needs a memory on the server."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from relayllm.relay.detokenizer import Detokenizer
from relayllm.relay.trace import Author, Trace
from relayllm.serving.api.jobs import Job
from relayllm.serving.api.protocol import (
    MAX_MESSAGES,
    ChatMessage,
    ChatRequest,
    EncodableText,
    Json,
    ModelName,
    RelayOptions,
    TextPart,
    Turn,
)
from relayllm.serving.api.responses import finish_reason, relay_field, usage
from relayllm.serving.api.streaming import SILENCE, SILENCE_SECONDS, named_event
from relayllm.serving.api.unsupported import CODE, IGNORED, NOT, Unsupported, conflict, refuse_unless_neutral
from relayllm.serving.engine.requests import RequestOutput

STATELESS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "previous_response_id": ("conversations kept by the server are", ()),
    "conversation": ("conversations kept by the server are", ()),
    "background": ("answers in the background are", (False,)),
    "reasoning": ("reasoning settings are", ({}, {"effort": "none"})),
    "text": ("text settings (verbosity, response formats other than text) are", (
        {}, {"format": {"type": "text"}}, {"verbosity": "medium"},
        {"format": {"type": "text"}, "verbosity": "medium"})),
    "truncation": ("truncation is", ("disabled",)),
    "include": ("additional output is", (["reasoning.encrypted_content"],)),  # there is no reasoning to encrypt
    "top_logprobs": ("log-probabilities in a response are", (0,)),
    "max_tool_calls": ("tools are", ()),
    "prompt": ("prompt templates are", ()),
    "background_options": ("answers in the background are", ()),
    "context_management": ("context management is", ()),
    "access_programs": ("access programs are", ()),
    "image": ("images are", ()),
}
"""Field -> what is not supported, and the values besides null and EMPTY that ask for nothing."""


class InputPart(TextPart):
    """A part of a turn; only text is understood."""

    texts: ClassVar = ("input_text", "output_text", "text")
    annotations: Any = IGNORED
    logprobs: Any = IGNORED


class InputMessage(Turn):
    """One turn; an answer's own `output` may come back as it is."""

    type: str = "message"
    content: EncodableText | Annotated[list[InputPart], Field(max_length=64)] = ""
    id: Any = IGNORED
    status: Any = IGNORED
    phase: Any = IGNORED

    @model_validator(mode="before")
    @classmethod
    def _is_a_message(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("type") not in (None, "message"):
            raise PydanticCustomError(CODE, "items other than messages are not supported by this server")
        return given

    @property
    def message(self) -> ChatMessage:
        """The turn as chat has it."""
        return ChatMessage(role=self.role, content=self.text)


class ResponseAsChat(ChatRequest):
    """What chat is asked in place of a response: its instructions are a turn besides those of the input."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES + 1)]
    prompt_field: ClassVar[str] = "input"

    @property
    def limit_field(self) -> str:
        """Which field of a response's request says how long it may be."""
        return "max_output_tokens"


class ResponseRequest(Unsupported):
    """`POST /v1/responses`."""

    input: EncodableText | Annotated[list[InputMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    instructions: EncodableText | None = None
    model: ModelName | None = None
    max_output_tokens: int | None = Field(default=None, ge=1, lt=2**31)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    stream: bool = False
    stream_options: Any = IGNORED
    relay: RelayOptions | None = None
    store: Any = Field(default=None, description="accepted; nothing is stored, whatever it says")
    metadata: Any = IGNORED
    user: Any = IGNORED
    safety_identifier: Any = IGNORED
    prompt_cache_key: Any = IGNORED
    prompt_cache_retention: Any = IGNORED
    prompt_cache_options: Any = IGNORED
    previous_response_id: Any = NOT
    conversation: Any = NOT
    background: Any = NOT
    reasoning: Any = NOT
    text: Any = NOT
    truncation: Any = NOT
    include: Any = NOT
    top_logprobs: Any = NOT
    max_tool_calls: Any = NOT
    prompt: Any = NOT
    background_options: Any = NOT
    context_management: Any = NOT
    access_programs: Any = NOT
    image: Any = NOT

    @field_validator(*STATELESS)
    @classmethod
    def _needs_no_memory(cls, value: Any, info: Any) -> None:
        refuse_unless_neutral(value, *STATELESS[info.field_name])

    @model_validator(mode="after")
    def _ends_with_a_question(self) -> ResponseRequest:
        if not isinstance(self.input, str) and self.input[-1].role == "assistant":
            raise conflict("input", "the last turn is the assistant's: end with one of the user")
        return self

    @property
    def chat(self) -> ChatRequest:
        """The same request as chat has it."""
        first = [ChatMessage(role="system", content=self.instructions)] if self.instructions else []
        turns = ([ChatMessage(role="user", content=self.input)] if isinstance(self.input, str)
                 else [turn.message for turn in self.input])
        return ResponseAsChat(model=self.model, messages=first + turns, max_completion_tokens=self.max_output_tokens,
                           temperature=self.temperature, top_p=self.top_p, stream=self.stream, relay=self.relay)


class ResponseWriter:
    """Makes a response object and the events of its stream; all of them carry the same ids."""

    def __init__(self, job: Job, body: ResponseRequest) -> None:
        self._job, self._body = job, body
        self._id, self._item = f"resp_{uuid.uuid4().hex}", f"msg_{uuid.uuid4().hex}"
        self._numbers = count()
        reader = job.deployment.response_tokenizer
        self._text, self._characters = Detokenizer(reader.tokenizer, reader.commands), 0

    def whole(self, traces: Sequence[Trace]) -> Json:
        """The whole answer as a response object."""
        cut = finish_reason(traces[0]) == "length"
        used = usage(self._job, traces)
        return self._object("incomplete" if cut else "completed", [self._message(traces[0].text, cut)]) | {
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None, "usage": {
                "input_tokens": used["prompt_tokens"], "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": used["completion_tokens"], "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": used["total_tokens"]}, "relay": relay_field(self._job, traces)}

    async def events(self) -> AsyncIterator[bytes]:
        """The answer as OpenAI's events, each with its name and number.

        Raises:
            ApiError: the decoder failed.
        """
        begun = self._object("in_progress", [])
        yield self._event("created", response=begun) + self._event("in_progress", response=begun)
        yield (self._event("output_item.added", output_index=0, item=self._message(None, False)) +
               self._event("content_part.added", **self._place(), part=_part("")))
        async for outputs in self._job.outputs(SILENCE_SECONDS):
            yield b"".join(self._told(outputs)) if outputs else SILENCE

    def _told(self, outputs: Sequence[RequestOutput]) -> Iterator[bytes]:
        for output in outputs:
            if output.delta is not None:
                ids = [token for token, author in zip(output.delta.ids, output.delta.authors, strict=True)
                       if author is not Author.COMMAND]
                yield from self._delta(self._text.extend(ids) if ids else "")
            if output.trace is not None:
                yield from self._delta(output.trace.text[self._characters:])
                yield from self._end(output.trace)

    def _delta(self, text: str) -> Iterator[bytes]:
        if text:
            self._characters += len(text)
            yield self._event("output_text.delta", **self._place(), delta=text, logprobs=[])

    def _end(self, trace: Trace) -> Iterator[bytes]:
        cut = finish_reason(trace) == "length"
        yield self._event("output_text.done", **self._place(), text=trace.text, logprobs=[])
        yield self._event("content_part.done", **self._place(), part=_part(trace.text))
        yield self._event("output_item.done", output_index=0, item=self._message(trace.text, cut))
        yield self._event("incomplete" if cut else "completed", response=self.whole([trace]))

    def _object(self, status: str, output: list[Json]) -> Json:
        deployment, body = self._job.deployment, self._body
        return {"id": self._id, "object": "response", "created_at": self._job.created, "status": status,
                "model": deployment.name, "output": output, "instructions": body.instructions, "error": None,
                "incomplete_details": None, "max_output_tokens": body.max_output_tokens,
                "temperature": body.temperature, "top_p": body.top_p, "metadata": {}, "tools": [],
                "tool_choice": "none", "parallel_tool_calls": False, "store": False,
                "text": {"format": {"type": "text"}}, "usage": None}

    def _message(self, text: str | None, cut: bool) -> Json:
        status = "in_progress" if text is None else "incomplete" if cut else "completed"
        return {"id": self._item, "type": "message", "role": "assistant", "status": status,
                "content": [] if text is None else [_part(text)]}

    def _place(self) -> Json:
        return {"item_id": self._item, "output_index": 0, "content_index": 0}

    def _event(self, kind: str, **more: Any) -> bytes:
        name = f"response.{kind}"
        return named_event(name, {"type": name, "sequence_number": next(self._numbers), **more})


def _part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
