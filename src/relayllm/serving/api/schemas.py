"""The answers of the API, field by field: for its description at /docs. The answers themselves are plain JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Writer = Literal["student", "teacher", "command"]


class AnswerModel(BaseModel):
    """An answer or a part of one; it has these fields and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


class CallEntry(AnswerModel):
    """One call of the teacher."""

    choice: int
    position: int = Field(description="index of the call's first token in the completion")
    requested: int = Field(description="n as the student wrote it")
    granted: int = Field(description="n after limits and budgets; 0: refused")
    delivered: int = Field(description="tokens that the teacher wrote")
    seconds: float
    failed: bool
    teacher: str = Field(description="who was asked; empty: nobody")
    read: int = Field(description="tokens that this teacher read fresh for the call")
    cached: int = Field(description="tokens of its earlier calls of this answer")
    refused: bool = Field(description="a governance rule kept the call from being sent")


class LedgerEntry(AnswerModel):
    """What the answer cost, over all choices: tokens, seconds, and money where the server knows prices."""

    student_tokens: int
    command_tokens: int
    teacher_tokens: int
    student_prefilled: int = Field(description="tokens that the student read and did not write")
    teacher_prefilled: int = Field(description="tokens that the teacher read fresh")
    teacher_cached: int = Field(description="tokens that calls found in the teacher's cache")
    student_cached: int = Field(description="tokens that a remote student's server found in its cache")
    student_reread: int = Field(description="tokens that a remote student's server read at beginnings of segments")
    student_seconds: float
    teacher_seconds: float
    completion_tokens: int
    cost: float | None = None
    currency: str | None = None
    cost_parts: dict[str, float] | None = Field(default=None, description="the cost by price; those of 0 are left out")


class SegmentEntry(AnswerModel):
    """A run of one author: characters of the choice's text, and tokens of its completion."""

    choice: int
    author: Writer
    start: int
    end: int
    tokens: int
    token_start: int


class RelayEntry(AnswerModel):
    """Who wrote what, and what it cost."""

    call_ratio: float = Field(description="teacher tokens / completion tokens")
    calls: list[CallEntry]
    ledger: LedgerEntry
    segments: list[SegmentEntry]
    degraded: bool = Field(description="help that was asked for was withheld")
    degraded_by: list[Literal["teacher", "policy", "key_budget"]] = Field(description="who withheld it")
    stop_reasons: list[str]
    seed: int | None
    version: str
    alias: str


class RelayDelta(AnswerModel):
    """Whose text a chunk brings: its author and tokens, or a call and its n."""

    author: Writer
    tokens: int
    call: int | None = None


class UsageEntry(AnswerModel):
    """Tokens as OpenAI counts them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class LikelyToken(AnswerModel):
    """A token with its log-probability."""

    token: str
    logprob: float | None
    bytes: list[int]


class TokenLogprob(LikelyToken):
    """A token of an answer with its log-probability, its author and its likeliest rivals."""

    top_logprobs: list[LikelyToken]
    author: Writer


class ChatLogprobs(AnswerModel):
    """Log-probabilities of a chat answer."""

    content: list[TokenLogprob]
    refusal: None


class TextLogprobs(AnswerModel):
    """Log-probabilities of a continued text, one entry per token in each list."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int] = Field(description="where each token begins in the choice's text")
    authors: list[str] = Field(description="prompt, student, teacher or command")


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
    created_at: int
    status: Literal["completed", "incomplete", "in_progress"]
    model: str
    output: list[OutputMessage]
    instructions: str | None
    error: None
    incomplete_details: dict[str, str] | None
    max_output_tokens: int | None
    temperature: float | None
    top_p: float | None
    metadata: dict[str, str]
    tools: list[Any]
    tool_choice: Literal["none"]
    parallel_tool_calls: bool
    store: bool = Field(description="false: nothing is stored")
    text: dict[str, Any]
    usage: ResponseUsage | None
    relay: RelayEntry | None = None


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
    degraded: bool
    segments: list[TextSegment]
    token_ids: list[int]


class TableAnswer(AnswerModel):
    """The answer of POST /invocations, a row for each prompt."""

    predictions: list[TableRow]


class ModelEntry(AnswerModel):
    """A name that a request may give as its model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    version: str
    alias: str
    max_model_len: int | None
    teacher: str | None


class ModelList(AnswerModel):
    """The answer of GET /v1/models."""

    object: Literal["list"]
    data: list[ModelEntry]


class Health(AnswerModel):
    """The answer of GET /health."""

    status: Literal["ok"]


class ReadyModel(AnswerModel):
    """A model that answers."""

    name: str
    version: str
    alias: str
    withdrawn: bool
    waiting: int
    running: int


class Readiness(AnswerModel):
    """The answer of GET /ready."""

    status: Literal["ready"]
    models: list[ReadyModel]


class ErrorEntry(AnswerModel):
    """What went wrong, in OpenAI's words."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(AnswerModel):
    """The answer to a request that cannot be answered."""

    error: ErrorEntry


EXAMPLE_RELAY: dict[str, Any] = {
    "call_ratio": 0.0625, "calls": [{"choice": 0, "position": 12, "requested": 2, "granted": 2, "delivered": 2,
                                     "seconds": 0.08, "failed": False, "teacher": "qwen3-8b",
                                     "read": 31, "cached": 0, "refused": False}],
    "ledger": {"student_tokens": 27, "command_tokens": 3, "teacher_tokens": 2, "student_prefilled": 21,
               "teacher_prefilled": 31, "teacher_cached": 0,
               "student_cached": 0, "student_reread": 0, "student_seconds": 0.21, "teacher_seconds": 0.07,
               "completion_tokens": 32},
    "segments": [{"choice": 0, "author": "student", "start": 0, "end": 10, "tokens": 12, "token_start": 0},
                 {"choice": 0, "author": "command", "start": 10, "end": 10, "tokens": 3, "token_start": 12},
                 {"choice": 0, "author": "teacher", "start": 10, "end": 13, "tokens": 2, "token_start": 15},
                 {"choice": 0, "author": "student", "start": 13, "end": 34, "tokens": 15, "token_start": 17}],
    "degraded": False, "degraded_by": [], "stop_reasons": ["finished"], "seed": 7, "version": "3",
    "alias": "champion"}
_HEAD: dict[str, Any] = {"created": 1750000000, "model": "relay-decoder", "system_fingerprint": "relayllm-3"}
_QUESTION = "Eli has 14 boxes with 15 eggs in each box. Ana brings 4 more eggs. How many eggs are there in all?"
_TEXT = "14 x 15 = 210, plus 4 is 214 eggs."
_USAGE = {"prompt_tokens": 19, "completion_tokens": 32, "total_tokens": 51}
EXAMPLES: dict[str, dict[str, Any]] = {
    "chat.completion": {"id": "chatcmpl-1", "object": "chat.completion", **_HEAD, "usage": _USAGE,
                        "choices": [{"index": 0, "message": {"role": "assistant", "content": _TEXT, "refusal": None},
                                     "logprobs": None, "finish_reason": "stop"}], "relay": EXAMPLE_RELAY},
    "chat.completion.chunk": {"id": "chatcmpl-1", "object": "chat.completion.chunk", **_HEAD,
                              "choices": [{"index": 0, "delta": {"content": "210"}, "logprobs": None,
                                           "finish_reason": None}], "relay": {"author": "teacher", "tokens": 2}},
    "text_completion": {"id": "cmpl-1", "object": "text_completion", **_HEAD, "usage": _USAGE,
                        "choices": [{"index": 0, "text": _TEXT, "logprobs": None, "finish_reason": "stop"}],
                        "relay": EXAMPLE_RELAY},
    "text_completion.chunk": {"id": "cmpl-1", "object": "text_completion", **_HEAD,
                              "choices": [{"index": 0, "text": "210", "logprobs": None, "finish_reason": None}],
                              "relay": {"author": "teacher", "tokens": 2}},
    "chat request": {"model": "relay-decoder", "messages": [{"role": "user", "content": _QUESTION}],
                     "relay": {"max_calls": 2, "teacher_tokens": 20}},
    "text request": {"model": "relay-decoder", "prompt": _QUESTION, "max_tokens": 96},
}
"""One of each kind, for the description."""


def answered(kind: str, whole: type[AnswerModel], chunk: type[AnswerModel]) -> dict[str, Any]:
    """The description of status 200 of a route that answers whole or as a stream."""
    stream = "text_completion.chunk" if kind == "text_completion" else f"{kind}.chunk"
    return {"description": "The answer; with stream, events of which each is a chunk, then [DONE]", "model": whole,
            "content": {"application/json": {"example": EXAMPLES[kind]},
                        "text/event-stream": {"schema": chunk.model_json_schema(), "example": EXAMPLES[stream]}}}
