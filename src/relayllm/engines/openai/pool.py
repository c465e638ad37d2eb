"""A pool of teachers: the first that is up and allowed writes a call, the next one when it fails before a token.

Several replicas may stand behind one name. All calls of an answer stay with one of them, the least loaded when it first
calls, until it fails.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from relayllm.engines.openai.calls import CallStream
from relayllm.engines.openai.governance.rules import Governance
from relayllm.engines.openai.loop_thread import wait_for_news
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.placement import SESSIONS
from relayllm.engines.openai.pool_config import PoolConfig, TeacherConfig
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.errors import PolicyRefusal, TeacherError
from relayllm.relay.protocols import CallRequest, Tokenizer


@dataclass(eq=False)
class Replica:
    """One server, and what it is busy with."""

    server: OpenAITeacher
    running: list[CallStream] = field(default_factory=list)
    answers: int = 0
    """Answers that were given to it."""

    @property
    def load(self) -> int:
        """Calls in flight."""
        self.running = [stream for stream in self.running if not stream.done]
        return len(self.running)


class NamedTeacher:
    """One teacher of a pool: its replicas."""

    def __init__(self, config: TeacherConfig, replicas: Sequence[Replica]) -> None:
        self.config, self.replicas = config, replicas
        self._sessions: OrderedDict[int, Replica] = OrderedDict()

    @property
    def up(self) -> bool:
        """Whether some replica may be asked."""
        return any(replica.server.up for replica in self.replicas)

    def attempts(self, request: CallRequest) -> Iterator[CallStream]:
        """Ask the answer's replica, and as often as another stream is wanted a further one that is up."""
        left = list(self.replicas)
        able = [one for one in left if one.server.up] or left
        while able:
            replica = self._home(request.session, able)
            left.remove(replica)
            stream = replica.server.submit(request)
            replica.running.append(stream)
            yield stream
            able = [one for one in left if one.server.up]

    def _home(self, session: int, able: Sequence[Replica]) -> Replica:
        """The answer's own while it is able, else the least loaded; of equals the one with fewest answers so far."""
        known = self._sessions.get(session)
        if known is None or known not in able:
            known = min(able, key=lambda one: (one.load, one.answers))
            known.answers += 1
            self._sessions[session] = known
        self._sessions.move_to_end(session)
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        return known


class PoolCall:
    """One call on its way through the pool. For the scheduler's thread; read `done` before `take`."""

    def __init__(self, request: CallRequest, teachers: Sequence[NamedTeacher], governance: Governance | None) -> None:
        self._governance = governance
        self._begun = False
        self.teacher = ""
        """Who is asked, or was asked last."""
        self._attempts = self._asking(request, teachers)
        self._stream = next(self._attempts)

    @property
    def done(self) -> bool:
        """Whether the call is over: no teacher will send more tokens."""
        while self._stream.done and self._stream.error is not None and not self._begun:
            fresh = self._stream.take()
            if fresh:
                self._stream.add(fresh)
                break
            following = next(self._attempts, None)
            if following is None:
                break
            self._stream = following
        return self._stream.done

    @property
    def finished(self) -> bool:
        """Whether the teacher wrote its end of text."""
        return self._stream.finished

    @property
    def error(self) -> TeacherError | None:
        """Why the last one asked failed."""
        return self._stream.error

    def take(self) -> list[int]:
        """The tokens that arrived since the last time."""
        tokens = self._stream.take()
        self._begun = self._begun or bool(tokens)
        return tokens

    def cancel(self) -> None:
        """End the call; no other teacher is asked."""
        self._attempts.close()
        self._stream.cancel()

    def _asking(self, request: CallRequest, teachers: Sequence[NamedTeacher]) -> Generator[CallStream]:
        """A stream of every replica that may be asked, teacher by teacher; one that has failed where a rule says no."""
        for teacher in teachers:
            self.teacher = teacher.config.name
            try:
                free = teacher.config.trusted or self._governance is None
                allowed = request if free or self._governance is None else self._governance.review(
                    request, self.teacher)
            except PolicyRefusal as refusal:
                yield refused_stream(self.teacher, refusal)
            else:
                yield from teacher.attempts(allowed)


def refused_stream(teacher: str, refusal: PolicyRefusal) -> CallStream:
    """A call that was never sent."""
    stream = CallStream(teacher=teacher)
    stream.close(error=refusal)
    return stream


class TeacherPool:
    """A `CallServer` over several teachers."""

    def __init__(self, config: PoolConfig, tokenizer: Tokenizer, *, forbidden_ids: Sequence[int] = (),
                 options: RemoteOptions | None = None, news: threading.Event | None = None) -> None:
        self._news = news or threading.Event()
        self._governance = None if config.governance is None else Governance(config.governance, tokenizer)
        self.teachers = [NamedTeacher(one, [Replica(OpenAITeacher(
            url, tokenizer, model=one.model or "", mode=one.mode or "auto", forbidden_ids=forbidden_ids,
            options=options, api_key=os.environ.get(one.key_variable, "") if one.key_variable else "",
            news=self._news, name=one.name)) for url in one.urls]) for one in config.teachers]
        self.prices = config.prices

    @property
    def up(self) -> bool:
        """Whether some teacher may be asked."""
        return any(teacher.up for teacher in self.teachers)

    def context_length(self) -> int:
        """The longest of any of them, asked for now; 0 where one does not say, or is away."""
        each = [one.server.context_length() for teacher in self.teachers for one in teacher.replicas]
        return max(each) if all(each) else 0

    def submit(self, request: CallRequest) -> PoolCall:
        """Start a call; teachers whose circuits are open come last."""
        return PoolCall(request, sorted(self.teachers, key=lambda one: (
            not one.up, one.config.rank(request.n, request.call))), self._governance)

    def wait(self, seconds: float) -> bool:
        """Sleep until some call has news, at most so long."""
        return wait_for_news(self._news, seconds)

    def close(self) -> None:
        """End all calls and let the connections go."""
        for teacher in self.teachers:
            for replica in teacher.replicas:
                replica.server.close()
