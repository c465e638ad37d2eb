"""One completion while it is written: a small state machine with two views of the same text.

The student's view is its prompt and the whole completion, commands included. The teacher's view is its own prompt and
the completion without commands. What a model has not read yet waits in a list of its own, so that a hand-over costs
the new tokens only.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from enum import Enum

from relayllm.relay.command import CommandTokens, CommandWriter, Mask, may_call
from relayllm.relay.options import GenerationRequest
from relayllm.relay.policy import STUDENT, CallPolicy
from relayllm.relay.randomness import key_of
from relayllm.relay.trace import Author, Call, Ledger, StopReason, Top

PROCESS = secrets.randbits(64)
"""Another number in every process: what is hashed with it cannot be guessed."""


class Pen(Enum):
    """Who writes the row's next token."""

    STUDENT = "student"
    TEACHER = "teacher"


class Row:
    """Grows token by token; knows what may come next, who writes it, and when it is over."""

    __slots__ = (
        "authors",
        "call_from",
        "call_tokens",
        "calls",
        "command_tokens",
        "commands",
        "degraded",
        "ids",
        "key",
        "logprobs",
        "options",
        "pen",
        "policy",
        "request",
        "scored",
        "started",
        "stop",
        "student_cached",
        "student_pending",
        "student_prefilled",
        "student_reread",
        "student_seconds",
        "student_tokens",
        "teacher_cached",
        "teacher_left",
        "teacher_name",
        "teacher_pending",
        "teacher_prefilled",
        "teacher_prompt",
        "teacher_seconds",
        "teacher_tokens",
        "tops",
        "unread",
        "unsent",
        "with_teacher",
        "writer",
    )

    def __init__(self, request: GenerationRequest, commands: CommandTokens, *, with_teacher: bool) -> None:
        options, prefix = request.options, request.prefix
        self.request, self.options, self.commands, self.key = request, options, commands, request.key
        self.teacher_prompt = request.teacher_view if with_teacher else ()
        self.policy: CallPolicy = options.policy or STUDENT
        self.with_teacher = with_teacher and options.teacher_enabled and options.max_calls > 0
        self.pen, self.degraded = Pen.STUDENT, False
        self.stop: StopReason | None = None
        self.started = len(prefix.token_ids)
        """Completion tokens that were there at the start."""
        self.ids = list(prefix.token_ids)
        self.authors = list(prefix.authors)
        self.logprobs: list[float | None] = [None] * self.started
        self.tops: list[Top] = [()] * self.started if options.top_logprobs else []
        """One entry per token where the options ask for the likeliest ones, else none at all."""
        self.scored = self.started
        """How many tokens have the log-probability that they keep."""
        self.calls = list(prefix.calls)
        self.writer: CommandWriter = commands.writer()
        """Where the student stands in the grammar of commands."""
        self.student_pending = [*request.prompt_ids, *prefix.token_ids]
        """What the student has not read, in its vocabulary."""
        self.unread = len(self.student_pending)
        """How many of those somebody else wrote."""
        self.teacher_pending = list(self.teacher_prompt)
        """What the teacher has not read, in its vocabulary."""
        self.unsent = [token for token, author in zip(prefix.token_ids, prefix.authors, strict=True)
                       if author is not Author.COMMAND]
        """Tokens of the completion that are not yet in the teacher's view."""
        self.call_tokens: list[int] = []
        """The running call's tokens, in the teacher's vocabulary."""
        self.teacher_left, self.teacher_name = 0, ""
        """Who writes, or wrote, the last call."""
        self.call_from = (0, 0)
        """What teachers had read fresh and found cached when the call began."""
        self.student_tokens, self.command_tokens, self.teacher_tokens = (
            prefix.authors.count(author) for author in (Author.STUDENT, Author.COMMAND, Author.TEACHER))
        self.student_prefilled = self.student_cached = self.student_reread = 0
        self.teacher_prefilled = self.teacher_cached = 0
        self.student_seconds = self.teacher_seconds = 0.0

    @property
    def index(self) -> int:
        """Place of its prompt in the batch."""
        return self.request.row

    @property
    def session(self) -> int:
        """The answer among all of this process: its key comes from its seed, which other prompts may have, too.

        It goes into audits and so tells nothing of the prompt to whoever does not know this process's number.
        """
        return key_of(self.key, hash((PROCESS, self.request.prompt_ids)))

    @property
    def position(self) -> int:
        """Completion tokens so far."""
        return len(self.ids)

    @property
    def certain(self) -> int:
        """How many tokens have the author that they keep: the last ones may yet turn out to begin a command in text."""
        open_end = self.stop is None and self.pen is Pen.STUDENT and not self.writer.inside
        return len(self.ids) - (self.writer.held if open_end else 0)

    @property
    def settled(self) -> int:
        """How many tokens are as the trace will have them: the teacher's are scored when the student reads them."""
        return min(self.certain, self.scored) if self.options.score_teacher else self.certain

    @property
    def to_score(self) -> int:
        """How many of the pending tokens the student's next forward scores; the first has none before it to tell."""
        if not self.options.score_teacher:
            return 0
        return max(0, min(len(self.ids) - self.scored, len(self.student_pending) - 1))

    @property
    def remaining(self) -> int:
        """Completion tokens that may still be written."""
        return self.options.max_new_tokens - len(self.ids)

    @property
    def may_call(self) -> bool:
        """Whether a command may begin here, whoever decides it."""
        return (self.with_teacher and not self.degraded
                and may_call(self.remaining, self.options.max_calls - len(self.calls)))

    def mask(self) -> Mask:
        """What the student may write next."""
        return self.writer.mask(may_call=self.may_call and self.policy.student_calls, remaining=self.remaining,
                                max_call_tokens=self.options.max_call_tokens)

    def student_wrote(self, token: int, logprob: float | None, ends: bool, top: Top = ()) -> None:
        """Append one token of the student; a finished command passes the pen."""
        n = self.writer.push(token)
        self._append(token, Author.STUDENT, logprob, top)
        self.scored = len(self.ids)
        self.student_pending.append(token)
        self.student_tokens += 1
        self.unsent.append(token)
        if n is not None or self.writer.inside:
            self._mark_command(self.writer.held)
        elif ends:
            self.stop = StopReason.FINISHED
        if n is not None:
            self._hand_over(n, self.position - self.writer.held)
        self._check_budget()

    def take_scores(self, logprobs: Sequence[float]) -> None:
        """Note the student's log-probabilities of the last tokens, where the teacher wrote them."""
        for place, logprob in enumerate(logprobs, start=len(self.ids) - len(logprobs)):
            if self.authors[place] is Author.TEACHER:
                self.logprobs[place] = logprob
        self.scored = len(self.ids)

    def force_call(self, n: int) -> None:
        """Pass the pen by a rule's decision, in writing if the rule writes and the student can read it."""
        at = self.position
        if self.policy.written and self.commands.known:
            command = self.commands.write(n)
            if self.remaining <= len(command):
                return
            for token in command:
                self._append(token, Author.COMMAND, None)
            self.student_pending += command
            self.command_tokens += len(command)
        self._hand_over(n, at)

    def teacher_wrote(self, student_ids: Sequence[int], *, finished: bool) -> None:
        """Append tokens of the teacher, already in the student's vocabulary."""
        for token in list(student_ids)[:self.remaining]:
            self._append(token, Author.TEACHER, None)
            self.student_pending.append(token)
            self.unread += 1
            self.teacher_tokens += 1
        self._check_budget()
        if finished and self.stop is None:
            self.stop = StopReason.TEACHER_FINISHED

    def hand_back(self, *, seconds: float = 0.0, failed: bool = False, refused: bool = False) -> None:
        """The call is over; the student goes on, alone when the teacher failed."""
        last = self.calls[-1]
        self.calls[-1] = Call(last.position, last.requested, last.granted, len(self.call_tokens), seconds, failed,
                              self.teacher_name, self.teacher_prefilled - self.call_from[0],
                              self.teacher_cached - self.call_from[1], refused)
        self.policy.settle(len(self.call_tokens))
        self.pen, self.teacher_left = Pen.STUDENT, 0
        self.degraded = self.degraded or failed

    def give_up_student(self) -> None:
        """No server of the student answers: the teacher writes the rest, and the row says so."""
        self.degraded = True
        self._hand_over(self.remaining, self.position)

    def take_pending(self) -> list[int]:
        """What the student must read now; counts what it did not write."""
        pending, self.student_pending = self.student_pending, []
        self.student_prefilled += self.unread
        self.unread = 0
        return pending

    def ledger(self) -> Ledger:
        """What the row has cost so far."""
        return Ledger(self.student_tokens, self.command_tokens, self.teacher_tokens, self.student_prefilled,
                      self.teacher_prefilled, self.teacher_cached, self.student_cached, self.student_reread,
                      self.student_seconds, self.teacher_seconds)

    def _append(self, token: int, author: Author, logprob: float | None, top: Top = ()) -> None:
        self.ids.append(token)
        self.authors.append(author)
        self.logprobs.append(logprob)
        if self.options.top_logprobs:
            self.tops.append(top)

    def _mark_command(self, tokens: int) -> None:
        """The last tokens are a command's: no text, and nothing for the teacher."""
        for index in range(len(self.ids) - tokens, len(self.ids)):
            if self.authors[index] is Author.STUDENT:
                self.authors[index] = Author.COMMAND
                self.student_tokens -= 1
                self.command_tokens += 1
                self.unsent.pop()

    def _hand_over(self, requested: int, at: int) -> None:
        wanted = max(requested, self.options.min_call_tokens)  # a policy has the last word: budgets are policies
        granted = max(0, min(self.policy.length(wanted), self.remaining))
        self.calls.append(Call(at, requested, granted, 0))
        self.teacher_left, self.call_tokens = granted, []
        self.teacher_name, self.call_from = "", (self.teacher_prefilled, self.teacher_cached)
        self.writer.reset()
        self.pen = Pen.TEACHER if granted else Pen.STUDENT

    def _check_budget(self) -> None:
        if self.stop is None and self.remaining <= 0:
            self.stop = StopReason.TOKEN_BUDGET
