"""The section of the base models: trained here, published, or lying on this machine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from relayllm.config.shared import Count, LearningRate, Name, NonEmpty, Section, Seed, Share


class TinyModel(Section):
    """A model of the Qwen3 architecture, trained from scratch on the tiny world."""

    kind: Literal["tiny"]
    """Trained here."""
    hidden_size: Count
    """Width of a token's vector."""
    layers: Count
    """Transformer blocks."""
    heads: Count
    """Attention heads of a layer."""
    kv_heads: Count
    """Heads of keys and values, which divide the attention heads among them."""
    intermediate_size: Count
    """Width of the feed-forward layers."""
    hard_share: Share
    """Share of hard problems in what it reads."""
    hard_products: Literal["right", "guessed"]
    """The hard products in what it reads: guessed, the model learns how hard problems go, and not their table."""
    drill_share: Share
    """Share of bare products in what it reads."""
    digit_weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """How much more the loss minds a digit than a word."""
    steps: Count
    """Of one round of training, under one schedule of the learning rate."""
    rounds: Count
    """At most so many: another one begins while the model solves less than `good_enough`."""
    good_enough: Share
    """Share of new problems, of the mix that it reads, answered rightly at temperature 1; where products are guessed,
    an answer that follows from its guess is right."""
    batch_size: Count
    """Worked problems per optimizer step."""
    learning_rate: LearningRate
    """Of AdamW, at its highest."""
    seed: Seed
    """Of the weights and of what it reads."""

    @model_validator(mode="after")
    def _heads_divide(self) -> TinyModel:
        if self.hidden_size % (2 * self.heads) or self.heads % self.kv_heads:
            raise ValueError(f"hidden_size {self.hidden_size}, heads {self.heads} and kv_heads {self.kv_heads} make no "
                             "model: each head takes an even share of hidden_size, each kv_head serves as many heads")
        return self


class HubModel(Section):
    """A published model, pinned."""

    kind: Literal["hub"]
    """Fetched from the Hugging Face hub."""
    id: NonEmpty
    """As the hub has it: `Qwen/Qwen3-0.6B`."""
    revision: NonEmpty
    """A commit: a branch may change."""


class LocalModel(Section):
    """Weights on this machine: a folder that transformers reads, a GGUF file, or an adapter's folder."""

    kind: Literal["local"]
    """Taken from this machine."""
    path: NonEmpty
    """From the project's root, or absolute; ~ is the home folder."""
    digest: str | None
    """What the stage prints when it is null: SHA-256 of the content. With it another content is an error."""


ModelSource = Annotated[TinyModel | HubModel | LocalModel, Field(discriminator="kind")]
"""Where the model of one role comes from."""


class BaseModelsConfig(Section):
    """The untrained student, the teacher, and teachers to swap it for."""

    student: ModelSource
    """The small model, which is trained (Qwen3-0.6B and Qwen3-1.7B in the paper)."""
    teacher: ModelSource
    """The large one that it may call, which stays as it is (Qwen3-8B in the paper)."""
    other_teachers: dict[Name, ModelSource]
    """Nobody trains with them: methods other-teacher-NAME let the relay call them instead of the teacher."""
    dtype: Literal["float32", "bfloat16"]
    """Of the weights as they are stored and decoded."""
