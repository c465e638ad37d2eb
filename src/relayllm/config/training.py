"""The sections that train: warm-up and GRPO, with adapters and rewards."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from relayllm.config.shared import Amount, Count, Decoding, LearningRate, PricesConfig, Section, Seed, Share

RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]
"""A folder's name, and a key that DVC finds by its path: no dots."""


class LoraConfig(Section):
    """Low-rank adapters (arXiv 2106.09685) that are trained instead of the weights."""

    rank: Count
    alpha: Count
    """The adapter counts alpha / rank times."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    target_modules: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"]
    """Names of the linear layers that get an adapter; all-linear is all but the head."""
    command_rows: bool
    """Train the two command tokens' rows of the embedding and the head beside it. Without them the adapter alone is
    what vLLM takes."""


class WarmupConfig(Section):
    learning_rate: LearningRate
    schedule: Literal["constant", "linear", "cosine"]
    epochs: Count
    batch_size: Count
    """Completions per optimizer step, over all processes."""
    micro_batch_size: Count
    processes: Count
    zero_stage: Literal[0, 2, 3]
    dtype: Literal["float32", "bfloat16"]
    lora: LoraConfig | None
    """None trains every weight."""
    seed: Seed


class RewardConfig(Section):
    name: Literal["difficulty", "simple", "accuracy"]
    independence_bonus: Amount
    """What a right answer without a call earns on a student-solvable problem (1.5 in the paper)."""
    exploration: bool
    """Pay the call ratio on teacher-unsolvable problems."""

    def options(self) -> dict[str, float | bool]:
        """The reward function's keyword arguments."""
        return {"independence_bonus": self.independence_bonus, "exploration": self.exploration}


class MoneyRewardConfig(Section):
    name: Literal["money"]
    weight: Amount
    """Reward that an answer loses for each unit of the prices' currency that 1,000 like it would cost."""
    prices: PricesConfig

    def options(self) -> dict[str, float | bool]:
        """The reward function's keyword arguments."""
        return {"weight": self.weight}


class GrpoRun(Section):
    """One policy trained by GRPO; the name of the run is a method of the evaluation."""

    reward: Annotated[RewardConfig | MoneyRewardConfig, Field(discriminator="name")]
    max_calls: Annotated[int, Field(ge=0)]
    """0 trains without calls: plain GRPO."""


class GrpoConfig(Section):
    steps: Count
    problems_per_step: Count
    group_size: Annotated[int, Field(ge=2)]
    mini_batches: Count
    """Optimizer steps per batch of roll-outs."""
    micro_batch_size: Count
    """Roll-outs of one forward, per process; gradients add up to a mini-batch."""
    learning_rate: LearningRate
    schedule: Literal["constant", "linear", "cosine"]
    final_learning_rate_share: Share
    weight_decay: Amount
    loss: Literal["grpo", "dapo", "bnpo", "dr_grpo"]
    """How TRL averages over tokens: dapo is a mean over all tokens of the batch, grpo one per roll-out first."""
    clip_low: Share
    clip_high: Amount
    kl: Amount
    max_grad_norm: Amount
    evaluate_every: Count
    """Steps between greedy scores on held-out training problems; the best checkpoint is kept."""
    evaluate_problems: Count
    save_every: Count
    dtype: Literal["float32", "bfloat16"]
    lora: LoraConfig | None
    """None trains every weight, and keeps a second copy of them as the reference when kl > 0."""
    deepspeed: bool
    processes: Count
    decoding: Decoding
    runs: Annotated[dict[RunName, GrpoRun], Field(min_length=1)]
    seed: Seed
