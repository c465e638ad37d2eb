"""What sections of `params.yaml` have in common: kinds of numbers, decoding, prices."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
NonEmpty = Annotated[str, Field(pattern=r"\S")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Price = Amount
LearningRate = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2 ** 32)]
"""What NumPy takes, too."""


class Section(BaseModel):
    """A section of `params.yaml`: frozen; unknown keys are errors, and so are true and "3" where a number is wanted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


GREEDY = {"temperature": 0.0, "teacher_temperature": 0.0}
"""Both models at temperature 0."""


class Decoding(Section):
    """How one run of the relay decoder samples and what it may spend."""

    max_new_tokens: Count
    """Tokens of an answer at most, the teacher's and commands included (8192 in the paper)."""
    temperature: Amount
    """Of the student; 0 takes the likeliest token."""
    top_p: Annotated[float, Field(gt=0, le=1)]
    """Of both models: the likeliest tokens that make up this probability; 1 leaves none out."""
    teacher_temperature: Amount
    """Of the teacher (0.7 in the paper's training)."""
    max_calls: Annotated[int, Field(ge=0)]
    """Calls per answer at most; 0 bans them."""
    max_call_tokens: Count
    """n of a call at most."""
    slots: Count
    """Rows decoded side by side."""
    enable_thinking: bool | None
    """Thinking mode of chat templates that know one (Qwen3); null leaves it to the template."""

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `RelayDecoder.generate`."""
        return self.model_dump()

    def greedy(self) -> Decoding:
        """The same limits with both models at temperature 0."""
        return self.model_copy(update=GREEDY)


class PricesConfig(Section):
    """What answers are counted at, per million tokens and per second (`relay.prices`)."""

    student: Price
    """Written by the student."""
    student_read: Price
    """Read by the student and not written by it: the prompt, the teacher's tokens."""
    student_cached: Price
    """Found in its cache by the server of a student elsewhere."""
    teacher: Price
    """Written by the teacher."""
    teacher_read: Price
    """Read fresh by the teacher."""
    teacher_cached: Price
    """Found by the teacher in its cache."""
    student_second: Price
    """Of a row's share of the student's batches, for hardware of one's own."""
    teacher_second: Price
    """Of a row's share of the teacher's batches, or of waiting for a teacher elsewhere."""
    currency: NonEmpty
    """A name such as USD: all prices are in it."""
