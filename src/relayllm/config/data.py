"""The sections that make and check data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from relayllm.config.shared import Count, Decoding, Section, Seed, Share


class IngestConfig(Section):
    """Which problems to train on and to evaluate with, and where they come from."""

    source: Literal["tiny-world", "huggingface", "files"]
    """Tiny world: generated here; huggingface: public sets at pinned revisions; files: your own."""
    train: str
    """Name of the training set in the source (tiny world: ignored; files: a path, a glob or a folder)."""
    train_problems: Count
    """At most this many training problems."""
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
    """Of the tiny world's stories, and of the draw where a set has more problems than are wanted."""


class ValidateConfig(Section):
    """What problems may be like before anything is trained on them."""

    max_question_chars: Count
    """Characters: a longer question stops the pipeline."""
    max_answer_chars: Count
    """Characters: a longer gold answer stops the pipeline."""
    near_duplicate_similarity: Share
    """Share of word pairs in common from which a training question counts as one of a benchmark. From here on `ingest`
    drops copies of a benchmark from a public training set."""


class FilterConfig(Section):
    """The paper's data filter: problems that the teacher can solve."""

    enabled: bool
    """False is the paper's ablation "without data filter"."""
    problems: Count
    """At most this many training problems are sampled."""
    samples: Count
    """Answers of the teacher per problem (10 in the paper)."""
    min_pass_rate: Share
    """Share of them that must be right for a problem to stay (0.5 in the paper)."""
    decoding: Decoding
    """How the teacher answers; it answers alone, so what concerns calls is ignored."""
    seed: Seed
    """Of the draw of problems, and of the answers."""


class WarmupSetConfig(Section):
    """Answers of the untouched student, with commands put into them."""

    problems: Count
    """At most this many of the filtered problems are answered."""
    samples: Count
    """Completions of the untouched student per problem."""
    max_commands: Count
    """Commands inserted per completion: uniform in 0..max_commands."""
    places: Literal["uniform", "surprisal"]
    """Before which tokens: any alike (the paper), or in proportion to how unlikely they were to the student."""
    digits: Annotated[int, Field(ge=1, le=9)]
    """n = d * 10^k with k uniform in 0..digits-1, d uniform in 1..9."""
    decoding: Decoding
    """How the student answers; it answers alone, so what concerns calls is ignored."""
    seed: Seed
    """Of the draw of problems, of the answers, and of where commands stand in them."""
