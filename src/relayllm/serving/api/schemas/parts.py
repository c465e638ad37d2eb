"""What answers are made of: who wrote what, what it cost, log-probabilities."""

from __future__ import annotations

from typing import Literal

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
    teacher: str = Field(description="who was asked, by name; `remote`: one behind an address; empty: nobody")
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
