"""The answers of the routes that answer a prompt, whole and in chunks."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from relayllm.serving.api.schemas.parts import (
    AnswerModel,
    ChatLogprobs,
    RelayDelta,
    RelayEntry,
    TextLogprobs,
    UsageEntry,
    Writer,
)
from relayllm.serving.errors import Json


class AssistantMessage(AnswerModel):
    """The message of a chat answer."""

    role: Literal["assistant"]
    content: str
    refusal: None


class MessageDelta(AnswerModel):
    """What a chunk adds to the message."""

    role: Literal["assistant"] | None = None
    content: str | None = None


FinishReason = Literal["stop", "length"]


class ChatChoice(AnswerModel):
    """One of the n answers."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatChoiceDelta(AnswerModel):
    """What a chunk adds to one of the n answers."""

    index: int
    delta: MessageDelta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | None


class TextChoice(AnswerModel):
    """One of the n texts; in a stream what a chunk adds to it."""

    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: FinishReason | None


class Completion(AnswerModel):
    """The fields that every answer begins with."""

    id: str
    created: int
    model: str
    system_fingerprint: str


class ChatCompletion(Completion):
    """The answer of POST /v1/chat/completions."""

    object: Literal["chat.completion"]
    choices: list[ChatChoice]
    usage: UsageEntry
    relay: RelayEntry


class ChatCompletionChunk(Completion):
    """One event of a streamed chat; the last one with a finish_reason has the whole field `relay`."""

    object: Literal["chat.completion.chunk"]
    choices: list[ChatChoiceDelta]
    usage: UsageEntry | None = None
    relay: RelayEntry | RelayDelta | None = None


class TextCompletion(Completion):
    """The answer of POST /v1/completions."""

    object: Literal["text_completion"]
    choices: list[TextChoice]
    usage: UsageEntry
    relay: RelayEntry


class TextCompletionChunk(Completion):
    """One event of a streamed text; the last one with a finish_reason has the whole field `relay`."""

    object: Literal["text_completion"]
    choices: list[TextChoice]
    usage: UsageEntry | None = None
    relay: RelayEntry | RelayDelta | None = None


class OutputText(AnswerModel):
    """The text of a response's message."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[Any]


class OutputMessage(AnswerModel):
    """The message of a response."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Literal["completed", "incomplete", "in_progress"]
    content: list[OutputText]


class ResponseUsage(AnswerModel):
    """Tokens as OpenAI's responses count them."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int


class ResponseObject(AnswerModel):
    """The answer of POST /v1/responses."""

    id: str
    object: Literal["response"]
    created_at: int = Field(description="seconds since 1970")
    status: Literal["completed", "incomplete", "in_progress"]
    model: str = Field(description="the served model's name")
    output: list[OutputMessage] = Field(description="one message; none while the answer is in progress")
    instructions: str | None = Field(description="as the request gave them")
    error: None = Field(description="always null: a fault is an answer of its own, with another status")
    incomplete_details: dict[str, str] | None = Field(description="why it is cut: `reason` is `max_output_tokens`")
    max_output_tokens: int | None = Field(description="as the request gave it; so are temperature and top_p")
    temperature: float | None
    top_p: float | None
    metadata: dict[str, str] = Field(description="always empty")
    tools: list[Any] = Field(description="always empty")
    tool_choice: Literal["none"]
    parallel_tool_calls: bool
    store: bool = Field(description="false: nothing is stored")
    text: Json = Field(description="the format, which is text")
    usage: ResponseUsage | None = Field(description="null while the answer is in progress")
    relay: RelayEntry | None = Field(default=None, description="who wrote what, at what cost; absent in progress")


class TextSegment(AnswerModel):
    """A run of one author in a row's text."""

    author: Writer
    text: str


class TableRow(AnswerModel):
    """One answer of a table, as the model's signature has it."""

    text: str
    call_ratio: float
    calls: int
    completion_tokens: int
    student_tokens: int
    command_tokens: int
    teacher_tokens: int
    stop_reason: str
    degraded: bool = Field(description="help that was asked for was withheld")
    degraded_by: list[Literal["teacher", "policy", "key_budget"]] = Field(description="who withheld it")
    teachers: list[str] = Field(description="who was asked, call by call; empty where nobody was")
    cost: float | None = Field(description="in the currency of the prices; null without prices")
    segments: list[TextSegment]
    token_ids: list[int]


class TableAnswer(AnswerModel):
    """The answer of POST /invocations, a row for each prompt."""

    predictions: list[TableRow]
