"""The typed form of `params.yaml`: everything that changes a result, a section per stage.

Nothing is defaulted here: DVC hashes `params.yaml`, not Python. Imports pydantic and YAML only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from relayllm.errors import ConfigError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]


class Section(BaseModel):
    """A section of `params.yaml`: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Decoding(Section):
    """How one run of the relay decoder samples and what it may spend."""

    max_new_tokens: Count
    temperature: Annotated[float, Field(ge=0)]
    top_p: Annotated[float, Field(gt=0, le=1)]
    teacher_temperature: Annotated[float, Field(ge=0)]
    max_calls: Annotated[int, Field(ge=0)]
    max_call_tokens: Count
    slots: Count
    """Rows decoded side by side."""
    enable_thinking: bool | None
    """Thinking mode of chat templates that know one (Qwen3); null leaves it to the template."""

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `RelayDecoder.generate`."""
        return self.model_dump()

    def greedy(self) -> Decoding:
        """The same limits with both models at temperature 0."""
        return self.model_copy(update={"temperature": 0.0, "teacher_temperature": 0.0})


class IngestConfig(Section):
    """Which problems to train on and to evaluate with, and where they come from."""

    source: Literal["tiny-world", "huggingface", "files"]
    train: str
    """Name of the training set in the source (tiny world: ignored; files: a path, a glob or a folder)."""
    train_problems: Count
    benchmarks: list[str]
    """Rows of the benchmark catalogue, in the order reports show them."""
    benchmark_problems: Count
    """At most this many problems of each benchmark."""
    copies: dict[str, str]
    """Set of the catalogue -> a local copy of it, in its own schema unless `columns` maps it: a file, a glob or a
    folder."""
    columns: dict[str, dict[str, str | list[str]]]
    """Set of the user's own files, or a copy's -> field of a problem -> column, path into one, or several that are
    joined."""
    seed: int


class ValidateConfig(Section):
    """What problems may be like before anything is trained on them."""

    max_question_chars: Count
    max_answer_chars: Count
    near_duplicate_similarity: Share
    """Share of word pairs in common from which a training question counts as one of a benchmark. From here on `ingest`
    drops copies of a benchmark from a public training set."""


class TinyModel(Section):
    """A model of the Qwen3 architecture, trained from scratch on the tiny world."""

    kind: Literal["tiny"]
    hidden_size: Count
    layers: Count
    heads: Count
    kv_heads: Count
    intermediate_size: Count
    hard_share: Share
    """Share of hard problems in what it reads."""
    drill_share: Share
    """Share of bare products in what it reads."""
    digit_weight: Annotated[float, Field(gt=0)]
    """How much more the loss minds a digit than a word."""
    steps: Count
    batch_size: Count
    learning_rate: float
    seed: int


class HubModel(Section):
    """A published model, pinned."""

    kind: Literal["hub"]
    id: str
    revision: str


class LocalModel(Section):
    """Weights on this machine: a folder that transformers reads, a GGUF file, or an adapter's folder."""

    kind: Literal["local"]
    path: str
    """From the project's root, or absolute; ~ is the home folder."""
    digest: str | None
    """What the stage prints when it is null: SHA-256 of the content. With it another content is an error."""


ModelSource = Annotated[TinyModel | HubModel | LocalModel, Field(discriminator="kind")]
"""Where the model of one role comes from."""


class BaseModelsConfig(Section):
    student: ModelSource
    teacher: ModelSource
    other_teachers: dict[Name, ModelSource]
    """Nobody trains with them: methods other-teacher-NAME let the relay call them instead of the teacher."""
    dtype: Literal["float32", "bfloat16"]


class FilterConfig(Section):
    enabled: bool
    """False is the paper's ablation "without data filter"."""
    problems: Count
    """At most this many training problems are sampled."""
    samples: Count
    min_pass_rate: Share
    decoding: Decoding
    seed: int


class WarmupSetConfig(Section):
    problems: Count
    samples: Count
    """Completions of the untouched student per problem."""
    max_commands: int
    """Commands inserted per completion: uniform in 0..max_commands."""
    digits: Count
    """n = d * 10^k with k uniform in 0..digits-1, d uniform in 1..9."""
    decoding: Decoding
    seed: int


class LoraConfig(Section):
    """Low-rank adapters (arXiv 2106.09685) that are trained instead of the weights."""

    rank: Count
    alpha: Count
    """The adapter counts alpha / rank times."""
    dropout: Annotated[float, Field(ge=0, lt=1)]
    target_modules: list[str] | Literal["all-linear"]
    """Names of the linear layers that get an adapter; all-linear is all but the head."""
    command_rows: bool
    """Train the two command tokens' rows of the embedding and the head beside it. Without them the adapter alone is
    what vLLM takes."""


class WarmupConfig(Section):
    learning_rate: float
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
    seed: int


class PricesConfig(Section):
    """What answers are counted at, per million tokens and per second (`relay.prices`)."""

    student: Price
    """Written by the student."""
    student_read: Price
    teacher: Price
    """Written by the teacher."""
    teacher_read: Price
    """Read fresh by the teacher."""
    teacher_cached: Price
    """Found by the teacher in its cache."""
    student_second: Price
    teacher_second: Price
    currency: str


class RewardConfig(Section):
    name: Literal["difficulty", "simple", "accuracy"]
    independence_bonus: float
    """What a right answer without a call earns on a student-solvable problem (1.5 in the paper)."""
    exploration: bool
    """Pay the call ratio on teacher-unsolvable problems."""

    def options(self) -> dict[str, float | bool]:
        """What the reward is called with beside the group."""
        return {"independence_bonus": self.independence_bonus, "exploration": self.exploration}


class MoneyRewardConfig(Section):
    name: Literal["money"]
    weight: Annotated[float, Field(ge=0)]
    """Reward that an answer loses for each unit of the prices' currency that 1,000 like it would cost."""
    prices: PricesConfig

    def options(self) -> dict[str, float | bool]:
        """What the reward is called with beside the group."""
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
    learning_rate: float
    schedule: Literal["constant", "linear", "cosine"]
    final_learning_rate_share: Share
    weight_decay: float
    loss: Literal["grpo", "dapo", "bnpo", "dr_grpo"]
    """How TRL averages over tokens: dapo is a mean over all tokens of the batch, grpo one per roll-out first."""
    clip_low: float
    clip_high: float
    kl: float
    max_grad_norm: float
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
    runs: dict[str, GrpoRun]
    seed: int


class JudgeConfig(Section):
    """A model that judges every answer a second time, at temperature 0; where it runs is RELAY_JUDGE_URL."""

    model: str
    prompt: str
    """Version of what it is asked, in `evaluation.judging`."""
    max_tokens: Count
    """It may write so much before its verdict."""


class RoutersConfig(Section):
    """What the relay's rivals are given (`evaluation.routers`)."""

    problems: Count
    """Training problems on which query routers are trained and calibrated."""
    samples: Annotated[int, Field(ge=2)]
    """Answers of the student among which the cascade looks for agreement."""
    step_tokens: Count
    """Tokens at most of a step that the teacher writes for GlimpRouter."""


class EvaluateConfig(Section):
    relay: str
    """The run that stands for the relay: what teacher-free, fixed-N, dial and the routers refer to."""
    methods: list[str]
    """Rows of `evaluation.methods`."""
    calibration_problems: Count
    """Training problems on which the thresholds of token routers and the biases on `<call>` are set."""
    routers: RoutersConfig
    call_value_problems: Annotated[int, Field(ge=0)]
    """Problems of each benchmark whose calls are tried with and without help; 0 for none."""
    decoding: Decoding
    """Greedy benchmarks use temperature 0; avg@k benchmarks this temperature."""
    grading_seconds: float
    judge: JudgeConfig | None
    """None: the rules alone decide."""
    bootstrap: Count
    seed: int


Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ReportConfig(Section):
    examples: Count
    prices: PricesConfig | None
    """None: nothing speaks of money."""


class PackageConfig(Section):
    method: str
    """The trained policy that is packaged."""
    registered_name: str
    teacher: Literal["embedded", "hub", "endpoint"]
    decoding: Decoding


class Params(Section):
    """The whole of `params.yaml`."""

    profile: str
    seed: int
    ingest: IngestConfig
    validate_: ValidateConfig = Field(alias="validate")
    base_models: BaseModelsConfig
    filter: FilterConfig
    warmup_set: WarmupSetConfig
    warmup: WarmupConfig
    grpo: GrpoConfig
    evaluate: EvaluateConfig
    report: ReportConfig
    package: PackageConfig

    def section(self, name: str) -> Section:
        """The section of one stage, by the stage's name."""
        return getattr(self, "validate_" if name == "validate" else name)  # type: ignore[no-any-return]


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a params file.

    Raises:
        ConfigError: missing file, unknown or missing key, wrong value; all of them named at once.
    """
    if not path.is_file():
        raise ConfigError(f"no {path}: run in the project's root, or write one with `relay profile tiny`")
    try:
        return Params.model_validate(YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except YAMLError as error:  # a key that is there twice, too
        raise ConfigError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        faults = "\n".join(f"  {'.'.join(map(str, fault['loc']))}: {fault['msg']} (got {fault['input']!r:.80})"
                           for fault in error.errors())
        raise ConfigError(f"{path} does not fit this version:\n{faults}\nCompare with params/tiny.yaml, or rewrite it "
                          "with `relay profile NAME`") from error
