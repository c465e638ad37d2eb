"""The sections that make and check data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from relayllm.config.shared import Count, Decoding, Section, Seed, Share


class IngestConfig(Section):
    """Which problems to train on and to evaluate with, and where they come from."""

    source: Literal["tiny-world", "huggingface", "files"]
    train: str
    """Name of the training set in the source (tiny world: ignored; files: a path, a glob or a folder)."""
    train_problems: Count
    benchmarks: Annotated[list[str], Field(min_length=1)]
    """Rows of the benchmark catalogue, in the order reports show them."""
    benchmark_problems: Count
    """At most this many problems of each benchmark."""
    copies: dict[str, str]
    """Set of the catalogue -> a local copy of it, in its own schema unless `columns` maps it: a file, a glob or a
    folder."""
    columns: dict[str, dict[str, str | list[str]]]
    """Set of the user's own files, or a copy's -> field of a problem -> column, path into one, or several that are
    joined."""
    seed: Seed


class ValidateConfig(Section):
    """What problems may be like before anything is trained on them."""

    max_question_chars: Count
    max_answer_chars: Count
    near_duplicate_similarity: Share
    """Share of word pairs in common from which a training question counts as one of a benchmark. From here on `ingest`
    drops copies of a benchmark from a public training set."""


class FilterConfig(Section):
    enabled: bool
    """False is the paper's ablation "without data filter"."""
    problems: Count
    """At most this many training problems are sampled."""
    samples: Count
    min_pass_rate: Share
    decoding: Decoding
    seed: Seed


class WarmupSetConfig(Section):
    problems: Count
    samples: Count
    """Completions of the untouched student per problem."""
    max_commands: Count
    """Commands inserted per completion: uniform in 0..max_commands."""
    places: Literal["uniform", "surprisal"]
    """Before which tokens: any alike (the paper), or in proportion to how unlikely they were to the student."""
    digits: Annotated[int, Field(ge=1, le=9)]
    """n = d * 10^k with k uniform in 0..digits-1, d uniform in 1..9."""
    decoding: Decoding
    seed: Seed
