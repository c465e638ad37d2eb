"""What the server says about itself: its models, whether it is up, what went wrong."""

from __future__ import annotations

from typing import Literal

from relayllm.serving.api.schemas.parts import AnswerModel


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
