"""What a router must offer to be a row of the evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from relayllm.config import RoutersConfig
from relayllm.evaluation.cost import Cost
from relayllm.evaluation.records import Record
from relayllm.problems.problem import Problem
from relayllm.relay.protocols import Tokenizer
from relayllm.relay.trace import Prefix, Trace


@dataclass(frozen=True, slots=True)
class TokenizerPair:
    """The tokenizers of the untrained student and of the teacher, as token routers need them."""

    tokenizer: Tokenizer
    teacher_tokenizer: Tokenizer
    teacher_in_process: bool
    """Whether the teacher writes token by token here, rather than on a server."""


class TokenRouter(Protocol):
    """Calls where a number that the student gives passes a threshold."""

    def prepare(self, asker: Asker, problems: Sequence[Problem], cost: Cost) -> str:
        """Learn from training problems, where there is something to learn; returns what is to be said of that."""
        ...

    def options(self, threshold: float, cost: Cost, pair: TokenizerPair, config: RoutersConfig) -> Mapping[str, Any]:
        """Options of the decoder at this threshold; the lower it is, the more calls."""
        ...

    def highest(self, pair: TokenizerPair) -> float:
        """A threshold that nothing passes; at 0 everything does."""
        ...


class Asker(Protocol):
    """Answers and states of the untrained student, and answers of the teacher; none is decoded twice."""

    config: RoutersConfig

    def answers(self, who: str, problems: Sequence[Problem], *, samples: int = 1) -> list[Trace]:
        """Greedy answers of `base` or `teacher`; more than one sample are drawn at the configured temperature."""
        ...

    def continued(self, problems: Sequence[Problem], prefixes: Sequence[Prefix], *, n: int) -> list[Trace]:
        """The student's answers, gone on with after the teacher's next n tokens; greedy."""
        ...

    def states_at(self, problems: Sequence[Problem], prefixes: Sequence[Prefix]) -> np.ndarray:
        """The student's hidden states behind prefixes of its answers. (problems, width)"""
        ...

    def states(self, problems: Sequence[Problem]) -> np.ndarray:
        """What the student makes of the questions, before it writes. (problems, width)"""
        ...


class QueryRouter(Protocol):
    """Sends the questions with the highest scores to the teacher."""

    @property
    def asks_first(self) -> bool:
        """Whether the student answers, and is paid, before it is decided."""
        ...

    def calibrate(self, asker: Asker, problems: Sequence[Problem]) -> Sequence[float]:
        """Learn from training problems; returns the scores that unseen questions like them would get."""
        ...

    def score(self, asker: Asker, problems: Sequence[Problem]) -> Sequence[float]:
        """How much a question needs the teacher, question by question."""
        ...

    def kept(self, asker: Asker, problems: Sequence[Problem], base: Sequence[Record]) -> Sequence[Record]:
        """The student's answers to what is not sent, with what they cost, in the order of the base's records."""
        ...
