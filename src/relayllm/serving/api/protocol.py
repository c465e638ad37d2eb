"""The requests of chat and text completions, field by field: OpenAI's, and `relay` beside them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, field_validator, model_validator

from relayllm.serving.api.fields import EncodableText, ModelName, RelayOptions, StopText, TokenId
from relayllm.serving.api.messages import ChatMessage
from relayllm.serving.api.schemas.examples import EXAMPLES
from relayllm.serving.api.unsupported import (
    IGNORED,
    NOT,
    Body,
    Unsupported,
    conflict,
    described,
    refuse_unless_neutral,
)

MAX_SAMPLES = 16
MAX_MESSAGES = 512
MAX_PROMPTS = 64


class StreamOptions(Body):
    """OpenAI's options of a stream."""

    include_usage: bool = False
    include_obfuscation: bool | None = Field(default=None, description="accepted and ignored")
    continuous_usage_stats: Any = NOT

    @field_validator("continuous_usage_stats")
    @classmethod
    def _usage_comes_last(cls, value: Any) -> None:
        refuse_unless_neutral(value, "a usage in every chunk is", (False,))


class Sampling(Unsupported):
    """What both routes have in common."""

    model: ModelName | None = Field(default=None, description="a name of /v1/models; NAME@0.02 asks for a call ratio")
    stream: bool | None = Field(default=False, description="the answer as it is written, as server-sent events")
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False, description="0: greedy")
    top_p: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    n: int | None = Field(default=1, ge=1, le=MAX_SAMPLES, description="answers to each prompt")
    seed: int | None = Field(default=None, ge=-2**63, lt=2**63, description="the same seed repeats an answer")
    stop: StopText | Annotated[list[StopText], Field(max_length=16)] | None = Field(
        default=None, description="texts before which the answer ends")
    max_tokens: int | None = Field(default=None, ge=1, lt=2**31, description="completion tokens at most")
    relay: RelayOptions | None = None
    user: Any = IGNORED
    metadata: Any = IGNORED
    store: Any = IGNORED
    safety_identifier: Any = IGNORED
    prompt_cache_key: Any = IGNORED
    prompt_cache_retention: Any = IGNORED
    prompt_cache_options: Any = IGNORED

    @model_validator(mode="after")
    def _stream_options_need_a_stream(self) -> Sampling:
        if self.with_usage and not self.stream:
            raise conflict("stream_options", "is for streams only: set stream to true")
        return self

    @property
    def samples(self) -> int:
        """Completions per prompt."""
        return self.n or 1

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings; an empty one stops nothing."""
        return tuple(text for text in ([self.stop] if isinstance(self.stop, str) else self.stop or ()) if text)

    @property
    def asked(self) -> RelayOptions:
        """The relay's options, with their defaults."""
        return self.relay or RelayOptions()

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(Sampling):
    """`POST /v1/chat/completions`."""

    model_config = ConfigDict(json_schema_extra=described(EXAMPLES["chat request"]))

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, description="the conversation")]
    max_completion_tokens: int | None = Field(default=None, ge=1, lt=2**31, description="stands before max_tokens")
    logprobs: bool | None = Field(default=False, description="with log-probabilities of the answer's tokens")
    top_logprobs: int | None = Field(default=None, ge=0, le=20, description="so many of the likeliest tokens")
    continue_final_message: bool = Field(default=False, description="continue the assistant's last message")
    add_generation_prompt: bool | None = Field(default=None, description="false only with continue_final_message")
    prompt_field: ClassVar[str] = "messages"

    @property
    def limit_field(self) -> str:
        """The field of the request that holds the limit."""
        return "max_tokens" if self.max_completion_tokens is None else "max_completion_tokens"

    @property
    def limit(self) -> int | None:
        """Completion tokens at most, if the request says."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def wants_logprobs(self) -> bool:
        """Whether to return log-probabilities."""
        return bool(self.logprobs)

    @property
    def likeliest(self) -> int:
        """How many of the likeliest tokens to return at every place."""
        return self.top_logprobs or 0

    @model_validator(mode="after")
    def _last_turn_is_clear(self) -> ChatRequest:
        last = self.messages[-1].role
        if self.continue_final_message and last != "assistant":
            raise conflict("continue_final_message", f"is true and the last message is the {last}'s: end with one of "
                                                     "the assistant")
        if not self.continue_final_message and last == "assistant":
            raise conflict("messages", "the last message is the assistant's: set continue_final_message to true to "
                                       "have it continued, or end with one of the user")
        if self.add_generation_prompt is not None and self.add_generation_prompt is self.continue_final_message:
            both = str(self.continue_final_message).lower()
            raise conflict("add_generation_prompt", f"is {both}, and so is continue_final_message: one of them is "
                                                    "needed, and one only")
        return self

    @model_validator(mode="after")
    def _top_needs_logprobs(self) -> ChatRequest:
        if self.top_logprobs and not self.logprobs:
            raise conflict("top_logprobs", "needs logprobs: set logprobs to true")
        return self


class CompletionRequest(Sampling):
    """`POST /v1/completions`: raw text, no chat template."""

    model_config = ConfigDict(json_schema_extra=described(EXAMPLES["text request"]))

    prompt: (EncodableText | Annotated[list[TokenId], Field(min_length=1, max_length=1_000_000)]
             | Annotated[list[EncodableText], Field(min_length=1, max_length=MAX_PROMPTS)]
             | Annotated[list[Annotated[list[TokenId], Field(min_length=1)]],
                         Field(min_length=1, max_length=MAX_PROMPTS)])
    max_tokens: int | None = Field(default=None, ge=0, lt=2**31, description="0 with echo scores the prompt only")
    echo: bool | None = Field(default=False, description="the prompt before the answer")
    logprobs: int | None = Field(default=None, ge=0, le=5, description="with so many of the likeliest tokens")
    best_of: int | None = Field(default=None, ge=1, le=MAX_SAMPLES, description="only the value of n")
    prompt_field: ClassVar[str] = "prompt"
    limit_field: ClassVar[str] = "max_tokens"

    @property
    def prompts(self) -> list[str | list[int]]:
        """One or several prompts, each text or token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [list(self.prompt)]  # type: ignore[list-item, arg-type]
        return list(self.prompt)  # type: ignore[arg-type]

    @property
    def limit(self) -> int | None:
        """Completion tokens at most, if the request says."""
        return self.max_tokens

    @property
    def wants_logprobs(self) -> bool:
        """Whether to return log-probabilities."""
        return self.logprobs is not None

    @property
    def likeliest(self) -> int:
        """How many of the likeliest tokens to return at every place."""
        return self.logprobs or 0

    @property
    def scores_prompt(self) -> bool:
        """Whether to return log-probabilities of the prompt's own tokens."""
        return bool(self.echo) and self.wants_logprobs

    @field_validator("logprobs", mode="before")
    @classmethod
    def _false_is_none(cls, given: Any) -> Any:
        return None if given is False else given

    @model_validator(mode="after")
    def _fits_together(self) -> CompletionRequest:
        if self.best_of is not None and self.best_of != self.samples:
            raise conflict("best_of", f"is {self.best_of} and n is {self.samples}: this server returns all it writes")
        if self.max_tokens == 0 and not self.echo:
            raise conflict("max_tokens", "is 0 and echo is off: there would be nothing to return")
        if self.echo and self.stream and self.logprobs is not None:
            raise conflict("stream", "echo with logprobs cannot be streamed: set stream to false")
        return self


AnyRequest = ChatRequest | CompletionRequest
