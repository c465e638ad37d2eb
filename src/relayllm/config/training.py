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
    """Width between the two matrices of an adapter."""
    alpha: Count
    """The adapter counts alpha / rank times."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    """Share of an adapter's inputs that each step leaves out."""
    target_modules: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"]
    """Names of the linear layers that get an adapter; all-linear is all but the head."""
    command_rows: bool
    """Train the two command tokens' rows of the embedding and the head beside it. Without them the adapter alone is
    what vLLM takes."""


class WarmupConfig(Section):
    """Supervised training on answers that contain commands."""

    learning_rate: LearningRate
    """Of AdamW, at its highest (5e-6 to 2e-5 in the paper)."""
    schedule: Literal["constant", "linear", "cosine"]
    """How the learning rate goes: it stays, or falls to 0 in a line or a cosine."""
    epochs: Count
    """Times that all completions are read (1 in the paper)."""
    batch_size: Count
    """Completions per optimizer step, over all processes."""
    micro_batch_size: Count
    """Completions of one forward, per process; gradients add up to a batch."""
    processes: Count
    """One per GPU; on a CPU they share its cores."""
    zero_stage: Literal[0, 2, 3]
    """DeepSpeed's sharding over processes: 2 of gradients and optimizer, 3 of weights, too; 0: without DeepSpeed."""
    dtype: Literal["float32", "bfloat16"]
    """Of the weights while they are trained (bfloat16 in the paper)."""
    lora: LoraConfig | None
    """None trains every weight."""
    seed: Seed
    """Of the order of completions."""


class RewardConfig(Section):
    """A reward by grade and call ratio, within the group of one problem (`rewards/`)."""

    name: Literal["difficulty", "simple", "accuracy"]
    """Difficulty: the paper's, by scenario; simple: right less the call ratio; accuracy: right alone."""
    independence_bonus: Amount
    """What a right answer without a call earns on a student-solvable problem (1.5 in the paper)."""
    exploration: bool
    """Pay the call ratio on teacher-unsolvable problems."""

    def options(self) -> dict[str, float | bool]:
        """The reward function's keyword arguments."""
        return {"independence_bonus": self.independence_bonus, "exploration": self.exploration}


class MoneyRewardConfig(Section):
    """A reward in money: right, less what the answer cost."""

    name: Literal["money"]
    """Right, less what the answer cost."""
    weight: Amount
    """Reward that an answer loses for each unit of the prices' currency that 1,000 like it would cost."""
    prices: PricesConfig
    """What it is counted at."""

    def options(self) -> dict[str, float | bool]:
        """The reward function's keyword arguments."""
        return {"weight": self.weight}


class GrpoRun(Section):
    """One policy trained by GRPO; the name of the run is a method of the evaluation."""

    reward: Annotated[RewardConfig | MoneyRewardConfig, Field(discriminator="name")]
    """What a roll-out earns."""
    max_calls: Annotated[int, Field(ge=0)]
    """0 trains without calls: plain GRPO."""


class GrpoConfig(Section):
    """Reinforcement by GRPO (arXiv 2402.03300), with the relay in the loop."""

    steps: Count
    """Batches of roll-outs."""
    problems_per_step: Count
    """Problems of a batch (128 in the paper)."""
    group_size: Annotated[int, Field(ge=2)]
    """Roll-outs of each problem, which are compared with each other (8 in the paper)."""
    mini_batches: Count
    """Optimizer steps per batch of roll-outs."""
    micro_batch_size: Count
    """Roll-outs of one forward, per process; gradients add up to a mini-batch."""
    learning_rate: LearningRate
    """Of AdamW, at its highest (1e-6 in the paper)."""
    schedule: Literal["constant", "linear", "cosine"]
    """How the learning rate goes (constant in the paper)."""
    final_learning_rate_share: Share
    """Share of the learning rate that is left at the last step of a linear schedule; the others do not read it."""
    weight_decay: Amount
    """Of AdamW (0.01 in the paper)."""
    loss: Literal["grpo", "dapo", "bnpo", "dr_grpo"]
    """How TRL averages over tokens: dapo is a mean over all tokens of the batch, grpo one per roll-out first."""
    clip_low: Share
    """A token's probability over that at its roll-out counts as 1 - clip_low at least (0.2 in the paper)."""
    clip_high: Amount
    """And as 1 + clip_high at most (0.3 in the paper)."""
    kl: Amount
    """Weight of the pull back to the warm-up (0.01 in the paper); 0 needs no reference."""
    max_grad_norm: Amount
    """A longer gradient is cut to this length (1.0 in the paper)."""
    evaluate_every: Count
    """Steps between greedy scores on held-out training problems; the best checkpoint is kept."""
    evaluate_problems: Count
    """Training problems that are held out for these scores."""
    save_every: Count
    """Steps between checkpoints, from which a run that was cut off goes on."""
    dtype: Literal["float32", "bfloat16"]
    """Of the weights while they are trained."""
    lora: LoraConfig | None
    """None trains every weight, and keeps a second copy of them as the reference when kl > 0."""
    deepspeed: bool
    """Shard gradients and optimizer over the processes (ZeRO stage 2)."""
    processes: Count
    """One per GPU; on a CPU they share its cores."""
    decoding: Decoding
    """How roll-outs are sampled (at temperature 1.0, the teacher at 0.7 in the paper)."""
    runs: Annotated[dict[RunName, GrpoRun], Field(min_length=1)]
    """A policy for each name, a stage each."""
    seed: Seed
    """Of which problems are held out, of the order of the others, and of the roll-outs."""
