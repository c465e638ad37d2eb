"""The finished record of one completion: who wrote which token, what was asked for, what it cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

Top = tuple[tuple[int, float], ...]
"""The likeliest tokens at one position with their log-probabilities, best first."""


class Author(StrEnum):
    """Who a completion token belongs to. The student writes the command tokens, too."""

    STUDENT = "student"
    TEACHER = "teacher"
    COMMAND = "command"


class StopReason(StrEnum):
    """Why a completion ended."""

    FINISHED = "finished"
    """The student wrote its end of text."""
    TEACHER_FINISHED = "teacher_finished"
    """The teacher wrote its end of text inside a call; the whole answer ends."""
    TOKEN_BUDGET = "token_budget"
    """`max_new_tokens` was reached."""
    STOP_STRING = "stop_string"
    """A stop string of the request was written."""
    CANCELLED = "cancelled"
    """The caller went away."""


@dataclass(frozen=True, slots=True)
class Call:
    """One `<call>n</call>` and what came of it."""

    position: int
    """Index of the `<call>` token in the completion."""
    requested: int
    """n as the student wrote it."""
    granted: int
    """n after the budget of tokens was applied."""
    delivered: int
    """Tokens that the teacher wrote."""
    seconds: float = 0.0
    """From hand-over to hand-back, wall clock."""
    failed: bool = False
    """The teacher gave an error instead of (all of) its tokens."""
    teacher: str = ""
    """Who was asked: the name of a pool's teacher, an address, or a model; empty when nobody was."""
    read: int = 0
    """Tokens that this teacher read fresh for the call."""
    cached: int = 0
    """Tokens of its earlier calls of this answer, which its cache may hold."""
    refused: bool = False
    """A governance rule kept the call from being sent; `failed` is true as well."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first tokens of an answer, in the student's vocabulary: where a continuation begins.

    What a row spends is counted with them: their tokens are in its budget and its ledger, and so are their calls.
    """

    token_ids: tuple[int, ...] = ()
    authors: tuple[Author, ...] = ()
    calls: tuple[Call, ...] = ()


NO_PREFIX = Prefix()
"""An answer from its first token on."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of completion tokens by one author: `token_ids[start:stop]`."""

    author: Author
    start: int
    stop: int
    text_start: int = 0
    """The same run in `trace.text`, in characters; empty for commands."""
    text_stop: int = 0

    @property
    def tokens(self) -> int:
        """Number of tokens of the run."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Ledger:
    """What one completion cost. Token counts; seconds are this row's share of its batches."""

    student_tokens: int = 0
    """Written by the student, commands not counted."""
    command_tokens: int = 0
    teacher_tokens: int = 0
    student_prefilled: int = 0
    """Tokens that the student read and did not write (the prompt, the teacher's tokens)."""
    teacher_prefilled: int = 0
    """Tokens that the teacher read fresh and did not write."""
    teacher_cached: int = 0
    """Tokens that a call found in the teacher's key-value cache, summed over calls."""
    student_cached: int = 0
    """Tokens that the segments of a remote student found in its server's prefix cache, by the server's word."""
    student_reread: int = 0
    """Tokens that a remote student's server read at the beginnings of segments; 0 for a student in process."""
    student_seconds: float = 0.0
    teacher_seconds: float = 0.0

    @property
    def completion_tokens(self) -> int:
        """Student, teacher and command tokens."""
        return self.student_tokens + self.command_tokens + self.teacher_tokens


@dataclass(frozen=True, slots=True)
class Trace:
    """One completion, token by token. Per-token tuples all have `len(token_ids)` entries."""

    prompt_ids: tuple[int, ...]
    """The prompt as the student read it."""
    token_ids: tuple[int, ...]
    """The completion in the student's vocabulary, commands and end of text included."""
    authors: tuple[Author, ...]
    logprobs: tuple[float | None, ...]
    """Log-probability under the student's sampling distribution before temperature and top-p, grammar mask
    applied. None for teacher tokens, unless `Options.score_teacher`: then under the same distribution without
    commands."""
    calls: tuple[Call, ...]
    ledger: Ledger
    stop_reason: StopReason
    text: str
    """The answer as a reader sees it: no commands, no special tokens."""
    degraded: bool = False
    """The teacher failed at least once; the student finished alone."""
    seed: int = 0
    row: int = 0
    """Index of the prompt in the batch that asked for it."""
    sample: int = 0
    """Index among the n completions of one prompt."""
    segments: tuple[Segment, ...] = ()
    """The completion as runs of one author."""
    tops: tuple[Top, ...] = ()
    """Per token the likeliest ones, best first, from the distribution of `logprobs`; an empty entry for a token of the
    teacher; nothing at all unless `Options.top_logprobs` asks."""

    @property
    def called(self) -> bool:
        """Whether the completion asked for help at all, read off the commands that were written."""
        return bool(self.calls)

    @property
    def call_ratio(self) -> float:
        """Delivered teacher tokens / completion tokens: the project's one definition."""
        return self.ledger.teacher_tokens / len(self.token_ids) if self.token_ids else 0.0

    @property
    def degraded_by(self) -> list[str]:
        """Who kept help that was asked for from the completion: the `teacher`, which failed, or a `policy`."""
        withheld = {"policy" if call.refused else "teacher" for call in self.calls if call.failed}
        return sorted(withheld) or ["teacher"] * self.degraded

    def prefix(self, position: int) -> Prefix:
        """What stands before a position; a call that it cuts has delivered what stands before it.

        Raises:
            ValueError: the position is inside a command.
        """
        authors, begun = self.authors[:position], [call for call in self.calls if call.position < position]
        if authors[-1:] == self.authors[position:position + 1] == (Author.COMMAND,) and position not in {
                call.position for call in self.calls}:
            raise ValueError(f"position {position} is inside a command: cut before it or behind it")
        if begun:
            before = authors[begun[-1].position:].count(Author.TEACHER)
            begun[-1] = replace(begun[-1], delivered=min(begun[-1].delivered, before))
        return Prefix(self.token_ids[:position], authors, tuple(begun))

    @property
    def truncated(self) -> bool:
        """Whether the completion ran into its token budget."""
        return self.stop_reason is StopReason.TOKEN_BUDGET
