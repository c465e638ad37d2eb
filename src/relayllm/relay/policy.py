"""Who decides when a row calls and for how many tokens: the student itself, or a rule it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Protocol

from relayllm.relay.randomness import key_of, uniform
from relayllm.relay.trace import Call


class RowState(Protocol):
    """What of a row a call policy may look at."""

    key: int
    """The row's key for random numbers."""
    ids: list[int]
    """The completion so far, in the student's vocabulary."""
    started: int
    """Completion tokens that were there at the start, where the row continues an answer."""
    calls: list[Call]
    """Calls so far."""

    @property
    def index(self) -> int:
        """Place of its prompt in the batch."""
        ...

    @property
    def position(self) -> int:
        """Completion tokens so far."""
        ...


class CallPolicy(Protocol):
    """Asked at every position where the student holds the pen and is not inside a command."""

    @property
    def student_calls(self) -> bool:
        """Whether the student may write commands itself."""
        ...

    @property
    def written(self) -> bool:
        """Whether calls of this policy appear as commands in the view of a student that knows commands."""
        ...

    @property
    def reads_entropy(self) -> bool:
        """Whether `decide` wants the entropy of the student's next token."""
        ...

    def decide(self, row: RowState, entropy: float) -> int:
        """How many teacher tokens to ask for here; 0 leaves the pen with the student."""
        ...

    def length(self, requested: int) -> int:
        """The n that counts when the student asked for `requested`; 0 refuses the call."""
        ...

    def settle(self, delivered: int) -> None:
        """The call is over, and the teacher wrote so many tokens of its n."""
        ...


@dataclass(frozen=True)
class StudentPolicy:
    """The paper's: the student writes its commands, and they are served as written."""

    student_calls: bool = True
    written: bool = True
    reads_entropy: bool = False

    def decide(self, row: RowState, entropy: float) -> int:
        """Always 0: only the student begins calls."""
        return 0

    def length(self, requested: int) -> int:
        """The n that was asked for."""
        return requested

    def settle(self, delivered: int) -> None:
        """Nothing to do: no tokens were set aside for the call."""


@dataclass(frozen=True)
class FixedLength(StudentPolicy):
    """The student says when; every call is served with the same n."""

    n: int = 20

    def length(self, requested: int) -> int:
        """The same n, whatever was asked for."""
        return self.n


@dataclass(frozen=True)
class RandomPosition(StudentPolicy):
    """Calls for n tokens at random positions, each with the same probability."""

    probability: float = 0.0
    n: int = 3
    seed: int = 0
    student_calls: bool = False
    written: bool = False

    def decide(self, row: RowState, entropy: float) -> int:
        """n with the given probability: the draw depends on row and position alone."""
        return self.n if uniform(key_of(row.key, self.seed, 7), row.position) < self.probability else 0


@dataclass(frozen=True)
class EntropyThreshold(StudentPolicy):
    """Calls for n tokens where the student is unsure of its next token: needs no training."""

    threshold: float = 1.0
    """Nats."""
    n: int = 3
    student_calls: bool = False
    written: bool = False
    reads_entropy: bool = True

    def decide(self, row: RowState, entropy: float) -> int:
        """n where the entropy is above the threshold."""
        return self.n if entropy > self.threshold else 0


@dataclass(frozen=True)
class ProbeThreshold(EntropyThreshold):
    """Calls for n tokens where a readout of the student's hidden state (`Options.probe`) says that help pays."""

    threshold: float = 0.5
    """A probability."""

    def decide(self, row: RowState, entropy: float) -> int:
        """n where the readout, log-odds in the place of the entropy, is above the threshold."""
        return self.n if 1.0 / (1.0 + exp(-max(-500.0, entropy))) > self.threshold else 0


@dataclass(frozen=True)
class StepEntropy(EntropyThreshold):
    """Asks for a whole step where the student is unsure of the step's first token (GlimpRouter).

    Where the teacher's step ends is `Options.call_stop_ids`; n is the most it may write.
    """

    step_ends: frozenset[int] = frozenset()
    """The student's tokens that end a step."""

    def decide(self, row: RowState, entropy: float) -> int:
        """n where a step begins and the entropy is above the threshold."""
        begins = not row.ids or row.ids[-1] in self.step_ends
        return self.n if begins and entropy > self.threshold else 0


@dataclass(frozen=True)
class Scripted(StudentPolicy):
    """Calls written down in advance, for tests and benchmarks: row -> [(position, n), ...] in order.

    A call is due once the completion has reached its position; calls at the same position follow each other.
    """

    script: Mapping[int, Sequence[tuple[int, int]]] | None = None
    student_calls: bool = False

    def decide(self, row: RowState, entropy: float) -> int:
        """The n of the script's next call, once its position is reached."""
        calls = (self.script or {}).get(row.index, ())
        done = len(row.calls)
        if done < len(calls) and row.position >= calls[done][0]:
            return calls[done][1]
        return 0


@dataclass(frozen=True)
class CallAtOnce(StudentPolicy):
    """One call for n tokens at the very start, of an answer or of its continuation; the student makes no other."""

    n: int = 3
    student_calls: bool = False

    def decide(self, row: RowState, entropy: float) -> int:
        """n at the first position, 0 everywhere else."""
        return self.n if row.position == row.started else 0


STUDENT = StudentPolicy()
