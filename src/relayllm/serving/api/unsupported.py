"""Fields of other servers that this one knows by name: what asks for nothing is as absent, all else is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from relayllm.serving.errors import Json

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
    "use_beam_search": ("beam search is", (False,)),
    "length_penalty": ("beam search is", (1,)),
    "early_stopping": ("beam search is", (False,)),
    "stop_token_ids": ("stop_token_ids are", ()),
    "include_stop_str_in_output": ("include_stop_str_in_output is", (False,)),
    "bad_words": ("bad_words are", ()),
    "allowed_token_ids": ("allowed_token_ids are", ()),
    "skip_special_tokens": ("a text with special tokens is", (True,)),
    "spaces_between_special_tokens": ("a text with special tokens is", (True, False)),
    "add_special_tokens": ("special tokens before a prompt are", (False,)),
    "prompt_logprobs": ("prompt_logprobs are (echo with logprobs of /v1/completions is)", ()),
    "truncate_prompt_tokens": ("truncate_prompt_tokens is", ()),
    "return_tokens_as_token_ids": ("token ids in the answer are", (False,)),
    "return_token_ids": ("token ids in the answer are", (False,)),
    "priority": ("priorities are", (0,)),
    "chat_template": ("a chat template of the request is", ()),
    "chat_template_kwargs": ("arguments of the chat template are", ({},)),
    "documents": ("documents besides the messages are", ()),
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
HINTS = ("top_k", "min_p", "typical_p")
"""Of these what only shapes the sampling: a server that ignores unknown fields ignores and names them, too."""
REFUSED_FIELD = "not supported: only null, or what asks for nothing"
IGNORED_FIELD = "accepted and ignored"
NOT, IGNORED = (Field(default=None, description=about) for about in (REFUSED_FIELD, IGNORED_FIELD))


def conflict(field: str, said: str) -> PydanticCustomError:
    """A fault of fields that do not go together; it is told of the one that has to change."""
    return PydanticCustomError("conflict", "{said}", {"said": said, "field": field})


def described(*examples: Json) -> Callable[[Json], None]:
    """What a request's schema says besides its fields: that there are no others, and examples."""
    def add(schema: Json) -> None:
        schema["additionalProperties"] = False
        if examples:
            schema["examples"] = list(examples)

    return add


class Body(BaseModel):
    """A request or a part of one. A null is as absent, and 16.0 is 16.

    The route refuses unknown fields, or ignores and names them.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True,
                              json_schema_extra=described())

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_as_absent(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: whole_number(value) for name, value in given.items()
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
    use_beam_search: Any = NOT
    length_penalty: Any = NOT
    early_stopping: Any = NOT
    stop_token_ids: Any = NOT
    include_stop_str_in_output: Any = NOT
    bad_words: Any = NOT
    allowed_token_ids: Any = NOT
    skip_special_tokens: Any = NOT
    spaces_between_special_tokens: Any = NOT
    add_special_tokens: Any = NOT
    prompt_logprobs: Any = NOT
    truncate_prompt_tokens: Any = NOT
    return_tokens_as_token_ids: Any = NOT
    return_token_ids: Any = NOT
    priority: Any = NOT
    chat_template: Any = NOT
    chat_template_kwargs: Any = NOT
    documents: Any = NOT
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
    def _asks_for_nothing(cls, value: Any, info: Any) -> Any:
        what, neutral = NEUTRAL[info.field_name]
        if info.field_name in HINTS and not asks_for_nothing(value, neutral):
            return value
        refuse_unless_neutral(value, what, neutral)
        return None

    @property
    def hints(self) -> list[str]:
        """Names of sampling hints that ask for something."""
        return [name for name in HINTS if getattr(self, name) is not None]


def asks_for_nothing(value: object, neutral: tuple[Any, ...]) -> bool:
    """Whether a field's value is empty or one of these. Of an object, a null is as absent."""
    asked = {name: one for name, one in value.items() if one is not None} if isinstance(value, dict) else value
    return any(type(asked) is type(none) and asked == none for none in (*EMPTY, *neutral))  # false is not 0


def refuse_unless_neutral(value: object, what: str, neutral: tuple[Any, ...]) -> None:
    """Refuse a field that is not supported, unless it asks for nothing.

    Raises:
        PydanticCustomError: it asks for something.
    """
    if not asks_for_nothing(value, neutral):
        raise PydanticCustomError(CODE, f"{what} not supported by this server")  # type: ignore[arg-type]


def whole_number(value: object) -> object:
    """A whole number as such, of which some languages write 16.0; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
