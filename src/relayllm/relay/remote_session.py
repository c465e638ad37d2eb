"""A running batch whose student is a server: one request per segment, no row waits for another.

The server's grammar keeps commands well formed; every token is parsed again here, since a server is never trusted. The
rows, the ledger, the stop strings and the teacher's side are the scheduler's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from relayllm.errors import ConfigError, StudentError
from relayllm.relay.command import CALL_BIT, CommandTokens
from relayllm.relay.events import Listener
from relayllm.relay.options import GenerationRequest
from relayllm.relay.protocols import Tokenizer, Usage
from relayllm.relay.randomness import key_of
from relayllm.relay.row import Pen, Row
from relayllm.relay.running import RunningRow
from relayllm.relay.scheduler import Finished, Session
from relayllm.relay.teacher import Teacher
from relayllm.relay.trace import StopReason, Top
from relayllm.relay.vocabulary import Vocabulary

STUDENT_SALT = 0x57D7
"""Keeps a remote student's seeds apart from the teacher's at the same position."""
WAIT_SECONDS = 0.02
"""How long a step sleeps at most when no server has news."""


@dataclass(frozen=True, slots=True)
class WrittenToken:
    """One token that a remote student wrote."""

    id: int
    logprob: float | None = None
    top: Top = ()
    """The likeliest tokens with their log-probabilities, when asked for."""


class ServedSegment(Protocol):
    """A request to the student's server while it is answered."""

    @property
    def done(self) -> bool:
        """Whether the segment is over: no more tokens will come."""
        ...

    @property
    def error(self) -> Exception | None:
        """Why it broke off; the tokens before stand."""
        ...

    @property
    def usage(self) -> Usage | None:
        """Tokens read and found cached, by the server's count; None when it did not say."""
        ...

    @property
    def cancel(self) -> Callable[[], None]:
        """End the request; what arrived stays."""
        ...

    def take_written(self) -> list[WrittenToken]:
        """Tokens that arrived since the last time; read `done` before, never after."""
        ...


@runtime_checkable
class RemoteStudent(Protocol):
    """A student behind one or several servers."""

    name: str
    ends: frozenset[int]

    @property
    def replicas_up(self) -> list[bool]:
        """Of each server, in the order of the addresses, whether it may be asked now."""
        ...

    def begin(self, row: Row, calls_left: int, seed: int) -> ServedSegment:
        """Ask for the row's next segment; never raises, a fault is the segment's error."""
        ...

    def wait(self, seconds: float) -> bool:
        """Sleep until some server has news, at most so long."""
        ...

    def open(self) -> int:
        """A handle for a new row."""
        ...

    def close(self, row: int) -> None:
        """Forget what is kept for a row that is over."""
        ...

    def reserve(self, rows: int, tokens: int) -> None:
        """Make room for so many rows of so many tokens, where the caches are in this process."""
        ...

    def shut_down(self) -> None:
        """End all requests and close the connections; safe to call twice."""
        ...


class RemoteSession(Session):
    """A session over a remote student; `teacher_finishes` lets the teacher write the rest where no student answers."""

    def __init__(self, student: RemoteStudent, teacher: Teacher | None, vocabulary: Vocabulary, tokenizer: Tokenizer,
                 commands: CommandTokens, slots: int, *, teacher_finishes: bool = True) -> None:
        super().__init__(student, teacher, vocabulary, tokenizer, commands, slots)  # type: ignore[arg-type]
        self._remote, self._teacher_finishes = student, teacher_finishes
        self._segments: dict[int, ServedSegment] = {}
        self._over: dict[int, list[ServedSegment]] = {}
        """Per row its segments that are over, for their usage: it comes after the last token."""
        self._failed: dict[int, StudentError] = {}

    def submit(self, request: GenerationRequest, on_event: Listener | None = None) -> int:
        """Queue a request; returns its handle.

        Raises:
            ConfigError: its call policy reads the student's entropies, which a server does not give.
        """
        policy = request.options.policy
        if policy is not None and policy.reads_entropy:
            raise ConfigError(f"{type(policy).__name__} reads the entropy of every token, which a remote student does "
                              "not give: run this method with the student in process")
        return super().submit(request, on_event)

    def _student_writes(self, rows: list[RunningRow]) -> None:
        news = [self._advance(one) for one in rows]
        if not any(news) and not any(one.row.pen is Pen.TEACHER for one in self._rows.values()):
            self._remote.wait(WAIT_SECONDS)
        elif not any(news):
            self._remote.wait(WAIT_SECONDS / 4)

    def _advance(self, one: RunningRow) -> bool:
        """Write what has arrived of a row's segment; whether there was anything."""
        row = one.row
        segment = self._segments.get(one.handle)
        if segment is None:
            seed = key_of(row.key, STUDENT_SALT, row.position) >> 33
            calls = row.options.max_calls - len(row.calls) if row.may_call and row.policy.student_calls else 0
            segment = self._segments[one.handle] = self._remote.begin(row, calls, seed)
            row.take_pending()
            row.take_scores(())  # a server does not score what the teacher wrote
        done, tokens = segment.done, segment.take_written()
        for token in tokens:
            self._let_rules_decide([one])
            if row.pen is Pen.TEACHER or row.stop is not None:
                break  # a rule gave the pen away here: what the server wrote beyond is not the row's
            self._write(one, token)
        if one.handle in self._segments and row.stop is not None:
            self._let_go(one.handle)
        elif one.handle in self._segments and done:
            self._end_segment(one, segment)
        one.written()
        return bool(tokens) or done

    def _write(self, one: RunningRow, token: WrittenToken) -> None:
        row = one.row
        fault = misplaced(row, token.id, self._commands)
        if fault:
            self._fail(one, StudentError(f"student {self._remote.name} wrote {fault}: its server does not run the "
                                         "relay grammar; install infra/vllm beside vLLM and start it again"))
            return
        row.take_pending()
        row.student_wrote(token.id, token.logprob, token.id in self._remote.ends, token.top)
        if row.pen is Pen.TEACHER and row.stop is None:
            self._begin_call(one)

    def _end_segment(self, one: RunningRow, segment: ServedSegment) -> None:
        """The request is over, and the pen is still the student's: a command that brought nothing, or a fault."""
        self._let_go(one.handle)
        if segment.error is not None:
            self._without_student(one, segment.error)

    def _without_student(self, one: RunningRow, error: Exception) -> None:
        row = one.row
        if self._teacher_finishes and row.with_teacher and not row.degraded and row.remaining > 0:
            row.give_up_student()
            self._begin_call(one)
        else:
            self._fail(one, error if isinstance(error, StudentError) else StudentError(str(error)))

    def _fail(self, one: RunningRow, error: StudentError) -> None:
        self._failed[one.handle] = error
        one.row.stop = StopReason.CANCELLED

    def _score_the_last(self, rows: list[RunningRow]) -> None:
        """A server scores its own tokens only."""

    def _force(self, one: RunningRow, n: int) -> bool:
        segment = self._segments.get(one.handle)
        forced = super()._force(one, n)
        if forced and segment is not None and not segment.done:
            segment.cancel()  # its server knows nothing of a rule's command, and would write on
        return forced

    def _begin_call(self, one: RunningRow) -> None:
        self._let_go(one.handle)
        super()._begin_call(one)

    def _let_go(self, handle: int) -> None:
        """The row writes on from another request: end this one, unless a command or an end of text ends it anyhow."""
        segment, row = self._segments.pop(handle, None), self._rows[handle].row
        if segment is None:
            return
        self._over.setdefault(handle, []).append(segment)
        last = row.ids[-1] if row.ids else None
        if not segment.done and last != self._commands.end and last not in self._remote.ends:
            segment.cancel()

    def _retire(self, rows: Sequence[RunningRow]) -> list[Finished]:
        for one in rows:
            if one.row.stop is not None:
                self._let_go(one.handle)
                for segment in self._over.pop(one.handle, ()):
                    _count(one.row, segment)
        return [Finished(found.handle, found.trace, self._failed.pop(found.handle, None))
                for found in super()._retire(rows)]


def _count(row: Row, segment: ServedSegment) -> None:
    """The server's word on what a segment read: all prompt tokens, less those in its cache."""
    if segment.usage is not None:
        row.student_cached += segment.usage.cached_tokens
        row.student_reread += segment.usage.prompt_tokens - segment.usage.cached_tokens


def misplaced(row: Row, token: int, commands: CommandTokens) -> str:
    """What is wrong with a token at this place of a row by the grammar; empty when nothing is."""
    bits, place = row.mask().allowed, commands.columns.index(token) if token in commands.columns else None
    if row.writer.inside:
        return "" if place is not None and bits >> place & 1 else f"token id {token} inside a command"
    if token == commands.end:
        return "`</call>` without `<call>`"
    return "`<call>` where none may begin" if token == commands.call and not bits & CALL_BIT else ""
