"""Fields of other servers that this one knows by name: what asks for nothing is as absent, all else is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

CODE = "unsupported_parameter"
EMPTY: tuple[Any, ...] = ("", [])
"""What asks for nothing in every field that is not supported."""
NEUTRAL: dict[str, tuple[str, tuple[Any, ...]]] = {
    "tools": ("tools are", ()),
    "tool_choice": ("tools are", ("none", "auto")),
    "parallel_tool_calls": ("tools are", (True, False)),
    "functions": ("functions are", ()),
    "function_call": ("functions are", ("none", "auto")),
    "reasoning_effort": ("reasoning effort is", ("none",)),
    "verbosity": ("verbosity is", ("medium",)),
    "presence_penalty": ("penalties are", (0,)),
    "frequency_penalty": ("penalties are", (0,)),
    "repetition_penalty": ("penalties are", (1,)),
    "logit_bias": ("a logit bias is", ({},)),
    "top_k": ("top_k is", (0, -1)),
    "min_p": ("min_p is", (0,)),
    "typical_p": ("typical_p is", (1,)),
    "min_tokens": ("a minimum of tokens is", (0,)),
    "ignore_eos": ("ignore_eos is", (False,)),
    "modalities": ("modalities other than text are", (["text"],)),
    "audio": ("audio is", ()),
    "prediction": ("predicted outputs are", ()),
    "web_search_options": ("web search is", ()),
    "moderation": ("moderation is", ()),
    "suffix": ("a suffix is", ()),
    "service_tier": ("service tiers are", ("auto", "default")),
    "guided_json": ("guided decoding is", ()),
    "guided_regex": ("guided decoding is", ()),
    "guided_choice": ("guided decoding is", ()),
    "guided_grammar": ("guided decoding is", ()),
    "structured_outputs": ("guided decoding is", ()),
    "response_format": ("response formats other than text are", ({"type": "text"},)),
}
"""Field -> what is not supported, and the values besides null and EMPTY that ask for nothing."""
REFUSED_FIELD = "not supported: only null, or what asks for nothing"
IGNORED_FIELD = "accepted and ignored"
NOT, IGNORED = (Field(default=None, description=about) for about in (REFUSED_FIELD, IGNORED_FIELD))


def conflict(field: str, said: str) -> PydanticCustomError:
    """A fault of fields that do not go together; it is told of the one that has to change."""
    return PydanticCustomError("conflict", "{said}", {"said": said, "field": field})


def described(*examples: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """What a request's schema says besides its fields: that there are no others, and examples."""
    def add(schema: dict[str, Any]) -> None:
        schema["additionalProperties"] = False
        if examples:
            schema["examples"] = list(examples)

    return add


class Body(BaseModel):
    """A request or a part of one. A null is as absent; the route refuses unknown fields, or ignores and names them."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True,
                              json_schema_extra=described())

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_as_absent(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items()
                if value is not None and (name in cls.model_fields or value not in ([], {}))}

    def unknown_fields(self, before: str = "") -> list[str]:
        """Fields that this server knows nothing of, those of its parts included."""
        found = [before + name for name in self.model_extra or {}]
        for name in type(self).model_fields:
            value = getattr(self, name)
            for index, part in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(part, Body):
                    place = f"{name}.{index}." if isinstance(value, list) else f"{name}."
                    found += part.unknown_fields(before + place)
        return found


class Unsupported(Body):
    """What OpenAI's and other servers' requests may hold besides; each is refused by its name."""

    tools: Any = NOT
    tool_choice: Any = NOT
    parallel_tool_calls: Any = NOT
    functions: Any = NOT
    function_call: Any = NOT
    reasoning_effort: Any = NOT
    verbosity: Any = NOT
    presence_penalty: Any = NOT
    frequency_penalty: Any = NOT
    repetition_penalty: Any = NOT
    logit_bias: Any = NOT
    top_k: Any = NOT
    min_p: Any = NOT
    typical_p: Any = NOT
    min_tokens: Any = NOT
    ignore_eos: Any = NOT
    modalities: Any = NOT
    audio: Any = NOT
    prediction: Any = NOT
    web_search_options: Any = NOT
    moderation: Any = NOT
    suffix: Any = NOT
    service_tier: Any = NOT
    guided_json: Any = NOT
    guided_regex: Any = NOT
    guided_choice: Any = NOT
    guided_grammar: Any = NOT
    structured_outputs: Any = NOT
    response_format: Any = NOT

    @field_validator(*NEUTRAL)
    @classmethod
    def _asks_for_nothing(cls, value: Any, info: Any) -> None:
        what, neutral = NEUTRAL[info.field_name]
        if not any(type(value) is type(none) and value == none for none in (*EMPTY, *_of_kind(value, neutral))):
            raise PydanticCustomError(CODE, f"{what} not supported by this server")  # type: ignore[arg-type]


def _of_kind(value: Any, neutral: tuple[Any, ...]) -> list[Any]:
    """Numbers as what was given: 0 and 0.0 ask for the same, false does not."""
    return [float(none) if isinstance(value, float) and isinstance(none, int) else none for none in neutral]
