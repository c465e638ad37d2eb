"""What the server says about itself: its models, whether it is up, what went wrong."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from relayllm.serving.api.schemas.parts import AnswerModel


class ModelEntry(AnswerModel):
    """A name that a request may give as its model."""

    id: str = Field(description="the model's name, with `@alias` or `@call ratio` where it is meant")
    object: Literal["model"]
    created: int = Field(description="seconds since 1970 when the version was loaded")
    owned_by: str = Field(description="always `relayllm`")
    version: str = Field(description="in the registry; the folder's name where it comes from none")
    alias: str = Field(description="`champion` or `candidate`")
    max_model_len: int | None = Field(description="tokens of prompt and answer together; null: no model says")
    teacher: str | None = Field(description="who is called, by name; null: nobody")


class ModelList(AnswerModel):
    """The answer of GET /v1/models."""

    object: Literal["list"]
    data: list[ModelEntry] = Field(description="the model, its aliases, and the call ratios that were measured for it")


class Health(AnswerModel):
    """The answer of GET /health."""

    status: Literal["ok"]


class ReadyModel(AnswerModel):
    """A model that answers."""

    name: str = Field(description="what a request gives as its model")
    version: str = Field(description="in the registry; the folder's name where it comes from none")
    alias: str = Field(description="`champion` or `candidate`")
    withdrawn: bool = Field(description="its alias is gone from the registry; it answers until another is promoted")
    waiting: int = Field(description="completions in the queue")
    running: int = Field(description="completions in a slot")


class Readiness(AnswerModel):
    """The answer of GET /ready."""

    status: Literal["ready"]
    models: list[ReadyModel]


class ErrorEntry(AnswerModel):
    """What went wrong, in OpenAI's words."""

    message: str = Field(description="what is wrong, and what to do about it")
    type: str = Field(description="the kind of status: `invalid_request_error`, `rate_limit_error`, ...")
    param: str | None = Field(description="the field to change; null: none, or several")
    code: str | None = Field(description="for programs: `invalid_value`, `context_length_exceeded`, ...")


class ErrorAnswer(AnswerModel):
    """The answer to a request that cannot be answered."""

    error: ErrorEntry
