"""Fields that requests of several routes share: texts, tokens, a model's name, what may be asked of the relay."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from relayllm.errors import ConfigError
from relayllm.relay.bias_curve import CallSetting, refuse_two_settings
from relayllm.serving.api.unsupported import Body

TokenId = Annotated[int, Field(ge=0, lt=2**31)]


def _encodable(text: str) -> str:
    """Half a surrogate pair is JSON but no text: no tokenizer reads it."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("holds half a character (an unpaired surrogate), which is no text") from error
    return text


EncodableText = Annotated[str, AfterValidator(_encodable)]
StopText = Annotated[str, Field(max_length=256), AfterValidator(_encodable)]
ModelName = Annotated[str, Field(max_length=200), AfterValidator(_encodable)]


class RelayOptions(Body):
    """What a request may ask of the relay: a field that is none of these is refused, whatever the server ignores."""

    model_config = ConfigDict(extra="forbid")

    teacher: bool = Field(default=True, description="false: the student answers alone")
    max_calls: int | None = Field(default=None, ge=0, le=1000, description="calls of the teacher at most")
    teacher_tokens: int | None = Field(default=None, ge=0, lt=2**31,
                                       description="teacher tokens at most, over all choices")
    teacher_logprobs: bool = Field(default=True, description="false: null for the teacher's tokens in logprobs")
    call_bias: float = Field(default=0.0, ge=-30, le=30, allow_inf_nan=False,
                             description="added to the logit of <call>: below 0 asks less often, above 0 more often")
    min_call_tokens: int = Field(default=1, ge=1, lt=2**31,
                                 description="a call is served with at least so many tokens, whatever it asked for")
    call_ratio: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False,
                                     description="sets call_bias and min_call_tokens by the share of teacher "
                                                 "tokens that they spent on training problems")

    @model_validator(mode="after")
    def _one_way_to_set_it(self) -> RelayOptions:
        if self.call_ratio is not None:
            try:
                refuse_two_settings(self.call_ratio, self.setting)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return self

    @property
    def setting(self) -> CallSetting:
        """How to call, where no call ratio decides it."""
        return CallSetting(self.call_bias, self.min_call_tokens)
