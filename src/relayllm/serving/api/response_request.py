"""The request of `POST /v1/responses`, read as the request of chat that asks for the same."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from relayllm.serving.api.fields import EncodableText, ModelName, RelayOptions
from relayllm.serving.api.messages import ChatMessage, TextPart, Turn
from relayllm.serving.api.protocol import MAX_MESSAGES, ChatRequest
from relayllm.serving.api.unsupported import CODE, IGNORED, NOT, Unsupported, conflict, refuse_unless_neutral

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
