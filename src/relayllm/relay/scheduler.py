"""The scheduler: many rows, two models, no turns: rows write while others are in a call.

One `step` is the whole algorithm: let waiting rows in, ask the student for one token for every row it holds the pen
of, ask the teacher for one token for every row that is in a call (a teacher in this process lets calls gather first,
see `relay.batching`), hand over what is due, let finished rows out.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from relayllm.relay.command import CommandTokens
from relayllm.relay.detokenizer import Detokenizer, StopSearch, trace_of
from relayllm.relay.engine import Engine, StepInput
from relayllm.relay.randomness import key_of, uniform
from relayllm.relay.row import Pen, Row
from relayllm.relay.teacher import Delivery, Teacher
from relayllm.relay.trace import NO_PREFIX, Author, Prefix, StopReason, Trace
from relayllm.relay.vocabulary import Vocabulary

IDLE_SECONDS = 0.02
"""How long a step sleeps when every row waits for a teacher elsewhere."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One completion to write."""

    prompt_ids: tuple[int, ...]
    options: Any
    seed: int = 0
    row: int = 0
    sample: int = 0
    teacher_prompt_ids: tuple[int, ...] | None = None
    """The prompt in the teacher's vocabulary, where that is another one."""
    prefix: Prefix = NO_PREFIX
    """The beginning of the answer, where this is a continuation."""


@dataclass(frozen=True, slots=True)
class Event:
    """One token as it is written."""

    token_id: int
    text: str
    """What this token adds to the text a reader sees; `<call>`, digits and `</call>` for commands."""
    author: Author
    position: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A row that is over."""

    handle: int
    trace: Trace
    error: Exception | None = None
    """Why there is no answer: a remote student that nobody could stand in for. The trace is as far as it got."""


class Session:
    """A running batch: submit requests at any time, step until they are finished. For one thread."""

    def __init__(self, student: Engine, teacher: Teacher | None, vocabulary: Vocabulary, tokenizer: Any,
                 commands: CommandTokens, slots: int) -> None:
        self._student, self._teacher, self._vocabulary = student, teacher, vocabulary
        self._tokenizer, self._commands, self._slots = tokenizer, commands, slots
        self._waiting: deque[tuple[int, GenerationRequest, Callable[[Event], None] | None]] = deque()
        self._rows: dict[int, _Running] = {}
        self._next_handle = 0

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._rows or self._waiting)

    @property
    def waiting(self) -> int:
        """Requests without a slot."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Rows in slots."""
        return len(self._rows)

    def row(self, handle: int) -> Row | None:
        """A completion while it is written, to read between two steps; None without a slot and once it is over."""
        one = self._rows.get(handle)
        return None if one is None else one.row

    def submit(self, request: GenerationRequest, on_event: Callable[[Event], None] | None = None) -> int:
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
        """One round for every row."""
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
            handle, request, on_event = self._waiting.popleft()
            key = key_of(request.seed, request.row, request.sample)
            view = request.teacher_prompt_ids if request.teacher_prompt_ids is not None else request.prompt_ids
            row = Row(request.prompt_ids, view if self._teacher else None, request.options, self._commands,
                      key=key, seed=request.seed, index=request.row, sample=request.sample, prefix=request.prefix)
            stop = request.options.stop
            self._rows[handle] = _Running(
                handle, row, self._student.open(),
                on_event and _Listener(on_event, Detokenizer(self._tokenizer, self._commands, stop), row),
                StopSearch(self._tokenizer, self._commands, stop) if stop else None)

    def _let_rules_decide(self, rows: list[_Running]) -> None:
        for one in rows:
            row = one.row
            if row.number is None and row.may_call and not row.policy.reads_entropy and not row.policy.student_calls:
                self._force(one, row.policy.decide(row, 0.0))

    def _force(self, one: _Running, n: int) -> bool:
        if n < 1:
            return False
        one.row.force_call(n)
        if one.row.pen is Pen.TEACHER:
            self._begin_call(one)
        return one.row.pen is Pen.TEACHER

    def _student_writes(self, rows: list[_Running]) -> None:
        entropy = any(one.row.policy.reads_entropy for one in rows)
        output = self._student.step([_step_input(one) for one in rows], entropy=entropy)
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
            one.emit()
            self._check_stop_strings(one)

    def _score_the_last(self, rows: list[_Running]) -> None:
        """Read the teacher's tokens of rows that end with them: nothing else of the student's reads them."""
        if not rows:
            return
        output = self._student.step([_step_input(one) for one in rows])
        for index, one in enumerate(rows):
            one.row.student_seconds += output.seconds / len(rows)
            one.row.take_scores(output.scores[index] if output.scores else ())

    def _begin_call(self, one: _Running) -> None:
        assert self._teacher is not None
        row = one.row
        row.teacher_prefilled += self._vocabulary.to_teacher(row)
        if not one.teacher_met:
            row.teacher_prefilled += len(row.teacher_prompt)
            one.teacher_met = True
        one.call_started = time.perf_counter()
        self._teacher.begin(row)

    def _teacher_writes(self, rows: list[_Running], *, writing: int) -> None:
        assert self._teacher is not None
        if not writing:
            self._teacher.wait(IDLE_SECONDS)
        by_row = {id(one.row): one for one in rows}
        for row, delivery in self._teacher.advance([one.row for one in rows], writing=writing):
            self._deliver(by_row[id(row)], delivery)

    def _deliver(self, one: _Running, delivery: Delivery) -> None:
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
            row.hand_back(seconds=time.perf_counter() - one.call_started, failed=delivery.error is not None)
        one.emit()
        self._check_stop_strings(one)

    def _in_student_ids(self, teacher_ids: Sequence[int], finished: bool) -> list[int]:
        """In the student's vocabulary; an end of text is the student's own, whatever the teacher's was."""
        ids = [token for token in self._vocabulary.from_teacher(teacher_ids) if token not in self._student.ends]
        return [*ids, self._tokenizer.eos_token_id] if finished else ids

    def _check_stop_strings(self, one: _Running) -> None:
        """A stop string comes before any other end, a cancelled row's excepted."""
        row = one.row
        if one.stops is None or row.stop is StopReason.CANCELLED or not one.stops.found(row):
            return
        row.stop = StopReason.STOP_STRING
        if row.pen is Pen.TEACHER:
            row.hand_back(seconds=time.perf_counter() - one.call_started)

    def _retire(self, rows: Sequence[_Running]) -> list[Finished]:
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


def _step_input(one: _Running) -> StepInput:
    row = one.row
    options = row.options
    inside, score = row.number is not None, row.to_score
    return StepInput(one.cache, row.take_pending(), row.allowed(), inside, options.temperature, options.top_p,
                     options.call_bias, uniform(row.key, row.position) if options.temperature else 0.0,
                     options.top_logprobs, score, probe=options.probe)


class _Listener:
    """Turns the tokens of a row into events as they are written."""

    def __init__(self, on_event: Callable[[Event], None], detokenizer: Detokenizer, row: Row) -> None:
        self._on_event, self._detokenizer, self._emitted = on_event, detokenizer, row.started
        for token, author in zip(row.ids, row.authors, strict=True):
            detokenizer.push(token, author)

    def emit(self, row: Row) -> None:
        while self._emitted < len(row.ids):
            position = self._emitted
            token, author = row.ids[position], row.authors[position]
            self._emitted += 1
            self._on_event(Event(token, self._detokenizer.push(token, author), author, position))

    def close(self, row: Row) -> None:
        rest = self._detokenizer.rest()
        if rest and row.ids:
            self._on_event(Event(row.ids[-1], rest, row.authors[-1], len(row.ids) - 1))


@dataclass(slots=True)
class _Running:
    handle: int
    row: Row
    cache: int
    listener: _Listener | None
    stops: StopSearch | None
    call_started: float = 0.0
    teacher_met: bool = False
    """Whether the teacher has read the prompt."""

    def emit(self) -> None:
        if self.listener is not None:
            self.listener.emit(self.row)

    def close(self) -> None:
        if self.listener is not None:
            self.listener.emit(self.row)
            self.listener.close(self.row)
