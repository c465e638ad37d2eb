"""The one place where prompt text is made, for data, training, evaluation and serving alike."""

from __future__ import annotations

import string

from relayllm.problems.catalogue import BOXED_LETTER, grading_of, row
from relayllm.problems.problem import Problem


def messages(problem: Problem) -> list[dict[str, str]]:
    """The chat messages that ask a problem: one user turn. The model's chat template does the rest."""
    return [{"role": "user", "content": prompt_text(problem)}]


def prompt_text(problem: Problem) -> str:
    """The question, its options when it has any, and the instruction of its benchmark."""
    parts = [problem.question.strip(), _options(problem.meta.get("choices") or []), _instruction(problem)]
    return "\n\n".join(part for part in parts if part)


def _options(choices: list[str]) -> str:
    return "\n".join(f"{letter}. {option}" for letter, option in zip(string.ascii_uppercase, choices, strict=False))


def _instruction(problem: Problem) -> str:
    """The problem's own, or its set's; a problem may say for itself how it is graded, and is then asked so."""
    if "instruction" in problem.meta:
        return str(problem.meta["instruction"]).strip()
    benchmark = row(problem.family)
    if grading_of(problem) == "choice" and benchmark.grading != "choice":
        return BOXED_LETTER
    return benchmark.instruction
