"""The scheduler: many rows, two models, no turns: rows write while others are in a call.

One `step` is the whole algorithm: let waiting rows in, ask the student for one token for every row it holds the pen
of, ask the teacher for one token for every row that is in a call (a teacher in this process lets calls gather first,
see `relay.batching`), hand over what is due, let finished rows out.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from relayllm.errors import PolicyRefusal
from relayllm.relay.command import CommandTokens
from relayllm.relay.detokenizer import trace_of
from relayllm.relay.engine import Engine
from relayllm.relay.events import Listener
from relayllm.relay.options import GenerationRequest
from relayllm.relay.protocols import Tokenizer
from relayllm.relay.row import Pen, Row
from relayllm.relay.running import RunningRow
from relayllm.relay.teacher import Delivery, Teacher
from relayllm.relay.trace import StopReason, Trace
from relayllm.relay.vocabulary import Vocabulary

IDLE_SECONDS = 0.02
"""How long a step sleeps when every row waits for a teacher elsewhere."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A row that is over: its handle, its trace, and the error that ended it."""

    handle: int
    trace: Trace
    error: Exception | None = None
    """Why there is no answer: a remote student that nobody could stand in for. The trace is as far as it got."""


class Session:
    """A running batch: submit requests at any time, step until they are finished. For one thread."""

    def __init__(self, student: Engine, teacher: Teacher | None, vocabulary: Vocabulary, tokenizer: Tokenizer,
                 commands: CommandTokens, slots: int) -> None:
        self._student, self._teacher, self._vocabulary = student, teacher, vocabulary
        self._tokenizer, self._commands, self._slots = tokenizer, commands, slots
        self._waiting: deque[tuple[int, GenerationRequest, Listener | None]] = deque()
        self._rows: dict[int, RunningRow] = {}
        self._next_handle = 0

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._rows or self._waiting)

    @property
    def waiting(self) -> int:
        """How many requests are queued until a slot is free."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many requests are being decoded, each in a slot."""
        return len(self._rows)

    def row(self, handle: int) -> Row | None:
        """A completion while it is written, to read between two steps; None without a slot and once it is over."""
        one = self._rows.get(handle)
        return None if one is None else one.row

    def submit(self, request: GenerationRequest, on_event: Listener | None = None) -> int:
        """Queue a request; returns its handle."""
        self._next_handle += 1
        self._waiting.append((self._next_handle, request, on_event))
        return self._next_handle

    def cancel(self, handle: int) -> None:
        """Stop a request; a running one comes out of the next step, as far as it got."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] != handle)
        if handle in self._rows:
            self._rows[handle].row.stop = StopReason.CANCELLED

    def step(self) -> list[Finished]:
        """Let rules decide, the teacher serve calls and the student write a token; returns the rows that are over."""
        self._admit()
        running = list(self._rows.values())
        self._let_rules_decide([one for one in running if one.row.pen is Pen.STUDENT and one.row.stop is None])
        writing = [one for one in running if one.row.pen is Pen.STUDENT and one.row.stop is None]
        calling = [one for one in running if one.row.pen is Pen.TEACHER and one.row.stop is None]
        if writing:
            self._student_writes(writing)
        if calling:
            self._teacher_writes(calling, writing=len(writing))
        self._score_the_last([one for one in running if one.row.stop not in (None, StopReason.CANCELLED)
                              and one.row.to_score])
        return self._retire(running)

    def _admit(self) -> None:
        while self._waiting and len(self._rows) < self._slots:
            handle, request, listener = self._waiting.popleft()
            row = Row(request, self._commands, with_teacher=self._teacher is not None)
            self._rows[handle] = RunningRow.start(handle, row, self._student.open(), self._tokenizer, listener)

    def _let_rules_decide(self, rows: list[RunningRow]) -> None:
        for one in rows:
            row = one.row
            if not row.writer.inside and row.may_call and not row.policy.reads_entropy and not row.policy.student_calls:
                self._force(one, row.policy.decide(row, 0.0))

    def _force(self, one: RunningRow, n: int) -> bool:
        if n < 1:
            return False
        one.row.force_call(n)
        if one.row.pen is Pen.TEACHER:
            self._begin_call(one)
        return one.row.pen is Pen.TEACHER

    def _student_writes(self, rows: list[RunningRow]) -> None:
        entropy = any(one.row.policy.reads_entropy for one in rows)
        output = self._student.step([one.step_input() for one in rows], entropy=entropy)
        share = output.seconds / len(rows)
        ends = self._student.ends
        for index, one in enumerate(rows):
            row, token = one.row, output.tokens[index]
            row.student_seconds += share
            row.take_scores(output.scores[index] if output.scores else ())
            if row.policy.reads_entropy and row.may_call and self._force(
                    one, row.policy.decide(row, output.entropies[index])):
                continue
            row.student_wrote(token, output.logprobs[index], token in ends, output.tops[index] if output.tops else ())
            if row.pen is Pen.TEACHER and row.stop is None:
                self._begin_call(one)
            one.written()

    def _score_the_last(self, rows: list[RunningRow]) -> None:
        """Read the teacher's tokens of rows that end with them: nothing else of the student's reads them."""
        if not rows:
            return
        output = self._student.step([one.step_input() for one in rows])
        for index, one in enumerate(rows):
            one.row.student_seconds += output.seconds / len(rows)
            one.row.take_scores(output.scores[index] if output.scores else ())

    def _begin_call(self, one: RunningRow) -> None:
        assert self._teacher is not None
        row = one.row
        row.teacher_prefilled += self._vocabulary.to_teacher(row)
        if not one.teacher_met:
            row.teacher_prefilled += len(row.teacher_prompt)
            one.teacher_met = True
        one.call_started = time.perf_counter()
        self._teacher.begin(row)

    def _teacher_writes(self, rows: list[RunningRow], *, writing: int) -> None:
        assert self._teacher is not None
        if not writing:
            self._teacher.wait(IDLE_SECONDS)
        by_row = {id(one.row): one for one in rows}
        for row, delivery in self._teacher.advance([one.row for one in rows], writing=writing):
            self._deliver(by_row[id(row)], delivery)

    def _deliver(self, one: RunningRow, delivery: Delivery) -> None:
        row = one.row
        row.call_tokens += delivery.tokens
        row.teacher_left -= len(delivery.tokens)
        over = (delivery.finished or delivery.over or delivery.error is not None or row.teacher_left <= 0
                or not row.options.call_stop_ids.isdisjoint(delivery.tokens[-1:]))
        if self._vocabulary.streams:
            row.teacher_wrote(self._in_student_ids(delivery.tokens, delivery.finished), finished=delivery.finished)
        elif over:
            row.teacher_wrote(self._in_student_ids(row.call_tokens, delivery.finished), finished=delivery.finished)
        if over or row.stop is not None:
            row.hand_back(seconds=one.call_seconds(), failed=delivery.error is not None,
                          refused=isinstance(delivery.error, PolicyRefusal))
        one.written()

    def _in_student_ids(self, teacher_ids: Sequence[int], finished: bool) -> list[int]:
        """In the student's vocabulary; an end of text is the student's own, whatever the teacher's was."""
        ids = [token for token in self._vocabulary.from_teacher(teacher_ids) if token not in self._student.ends]
        return [*ids, self._tokenizer.eos_token_id] if finished else ids

    def _retire(self, rows: Sequence[RunningRow]) -> list[Finished]:
        done: list[Finished] = []
        for one in rows:
            if one.row.stop is None:
                continue
            del self._rows[one.handle]
            self._student.close(one.cache)
            if self._teacher is not None:
                self._teacher.release(one.row)
            one.close()
            done.append(Finished(one.handle, trace_of(self._tokenizer, one.row)))
        return done
