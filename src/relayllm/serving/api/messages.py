"""The turns of a conversation, as chat has them, and what the other routes' turns have in common with these."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from relayllm.serving.api.fields import EncodableText
from relayllm.serving.api.unsupported import CODE, IGNORED, NOT, Body, conflict


def _of_a_conversation(role: Any) -> Any:
    if role in ("tool", "function"):
        raise PydanticCustomError(CODE, "tools are not supported by this server")
    return role


TurnRole = Annotated[Literal["system", "developer", "user", "assistant"], BeforeValidator(_of_a_conversation)]


class TextPart(Body):
    """A part of a message; only text is understood."""

    texts: ClassVar[tuple[str, ...]] = ("text",)
    """The types that are text."""
    type: str
    text: EncodableText = ""
    cache_control: Any = IGNORED

    @field_validator("type")
    @classmethod
    def _is_text(cls, value: str) -> str:
        if value not in cls.texts:
            raise PydanticCustomError(CODE, "parts other than text are not supported by this server")
        return value

    @model_validator(mode="after")
    def _holds_a_text(self) -> TextPart:
        if "text" not in self.model_fields_set:
            raise conflict("text", "is missing")
        return self


class Turn(Body):
    """One turn of a conversation; only the assistant may be silent."""

    role: TurnRole
    content: Any = ""

    @model_validator(mode="after")
    def _only_the_assistant_may_be_silent(self) -> Self:
        if self.role != "assistant" and ("content" not in self.model_fields_set or self.content == []):
            raise conflict("content", f"a message of the {self.role} needs it")
        return self

    @property
    def text(self) -> str:
        """What the turn says, its parts as one."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class ChatMessage(Turn):
    """One turn of a conversation, as chat has it."""

    content: EncodableText | Annotated[list[TextPart], Field(max_length=64)] = ""
    name: Any = IGNORED
    cache_control: Any = IGNORED
    refusal: Any = IGNORED
    annotations: Any = IGNORED
    reasoning_content: Any = IGNORED
    tool_calls: Any = NOT
    function_call: Any = NOT
    audio: Any = NOT

    @field_validator("tool_calls", "function_call", "audio")
    @classmethod
    def _calls_nothing(cls, value: Any) -> None:
        if value not in ([], {}):
            raise PydanticCustomError(CODE, "tools and audio are not supported by this server")

    @property
    def plain(self) -> dict[str, str]:
        """The message as the chat template reads it."""
        return {"role": "system" if self.role == "developer" else self.role, "content": self.text}
