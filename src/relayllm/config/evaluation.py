"""The sections that measure what was trained, report it and pack it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from relayllm.config.shared import Count, Decoding, PricesConfig, Section, Seed


class JudgeConfig(Section):
    """A model that judges every answer a second time, at temperature 0; where it runs is RELAY_JUDGE_URL."""

    model: str
    """The judge's name on its server."""
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
    """Which methods answer the benchmarks, and how they are held beside each other."""

    relay: str
    """The run that stands for the relay: what teacher-free, fixed-N, call-ratio-Mx and the routers refer to."""
    methods: Annotated[list[str], Field(min_length=1)]
    """Rows of `evaluation.methods`."""
    calibration_problems: Count
    """Training problems on which the thresholds of token routers and the biases on `<call>` are set."""
    routers: RoutersConfig
    """What routers are trained and calibrated with."""
    call_value_problems: Annotated[int, Field(ge=0)]
    """Problems of each benchmark whose calls are tried with and without help; 0 for none."""
    decoding: Decoding
    """Greedy benchmarks use temperature 0; avg@k benchmarks this temperature."""
    grading_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Seconds that the comparison of one answer may take; then it counts as wrong, with the reason "time limit"."""
    judge: JudgeConfig | None
    """None: the rules alone decide."""
    bootstrap: Count
    """Draws of problems behind each interval."""
    seed: Seed
    """Of sampled answers and of all that is drawn at random."""


class ReportConfig(Section):
    """What the report shows beside the scores."""

    examples: Count
    """Coloured answers that the report shows."""
    prices: PricesConfig | None
    """None: nothing speaks of money."""


class PackageConfig(Section):
    """What becomes an MLflow model, and under which name."""

    method: str
    """The trained policy that is packaged."""
    registered_name: Annotated[str, Field(pattern=r"^[^\s/:@][^/:@]*$")]
    """In the registry, where `models:/NAME@champion` names a version."""
    teacher: Literal["embedded", "hub", "endpoint"]
    """Embedded: its weights go along; hub: its id and revision do; endpoint: RELAY_TEACHER_URL says where it is."""
    decoding: Decoding
    """How it answers where a request does not say."""
