"""Whether prompts and answers fit into what the models can read: known before the first step, not at the hundredth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from relayllm.engines.checkpoints.model_shapes import folder_shape
from relayllm.engines.loading import load_tokenizer
from relayllm.engines.prompts import encode_prompt
from relayllm.errors import ConfigError
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def check_context(problems: Sequence[Problem], student: Path, teacher: Path | None, answer: int, stage: str) -> None:
    """Refuse problems that leave a model no room for an answer of so many tokens.

    Raises:
        ConfigError: the longest prompt and an answer are more than a model can read.
    """
    for role, folder in (("student", student), ("teacher", teacher)):
        limit = folder_shape(folder).context if folder else 0
        if folder is None or not limit:
            continue
        tokens, longest = _longest(load_tokenizer(folder), problems)
        if tokens + answer > limit:
            raise ConfigError(f"{stage}: problem {longest} takes {tokens} tokens as a prompt, and max_new_tokens is "
                              f"{answer}: together more than the {limit} that the {role} can read; lower "
                              f"{stage}.decoding.max_new_tokens or leave the problem out")


def _longest(tokenizer: PreTrainedTokenizerBase, problems: Sequence[Problem]) -> tuple[int, str]:
    return max((len(encode_prompt(tokenizer, messages(problem))), problem.id) for problem in problems)
