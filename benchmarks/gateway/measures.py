"""What is measured: speed beside the student's server alone, hand-overs, and what is left when a replica is killed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from benchmarks.gateway.servers import STUDENT, Server
from benchmarks.load_client import Load, load
from relayllm import RelayDecoder
from relayllm.relay.options import Options
from relayllm.relay.trace import Author, Trace

CLIENTS = 16
ANSWERS = 6
"""Of one round of hand-overs at least: one answer may call too seldom to tell anything."""
PROMPT = "Question {seed}: a shop has {seed} boxes of pens, and sells some of them every day. Write a long story of it."
ALONE: dict[str, Any] = {"teacher": False}
CALLS: dict[str, Any] = {"max_calls": 1, "teacher_tokens": 1}
"""One token of the teacher in each answer: of a hundred tokens 1 %."""


def bodies(tokens: int, turns: int, seed: int, relay: dict[str, Any] | None) -> list[list[dict[str, Any]]]:
    """What each client asks, one after the other; without `relay` as vLLM itself is asked."""
    more = {"relay": relay} if relay is not None else {"model": STUDENT}
    seeds = [[seed + 1000 * client + turn for turn in range(turns)] for client in range(CLIENTS)]
    return [[{"prompt": PROMPT.format(seed=one), "max_tokens": tokens, "temperature": 1.0, "seed": one, "stream": True,
              "stream_options": {"include_usage": True}, **more} for one in its] for its in seeds]


@dataclass
class Leg:
    """One of the ways to answer, over the rounds."""

    speeds: list[float] = field(default_factory=list)
    """Tokens per second."""
    firsts: list[float] = field(default_factory=list)
    """Seconds to the first token."""
    costs: list[float] = field(default_factory=list)
    """Processor seconds of the gateways per token."""

    def share_of(self, other: Leg) -> float:
        """This leg's share of the other's speed: the median over rounds."""
        return statistics.median(one / base for one, base in zip(self.speeds, other.speeds, strict=True))


def race(student: Server, one: Server, pair: Sequence[Server], tokens: int, rounds: int) -> dict[str, Leg]:
    """The student's server alone, and gateways before it, in turns; every other round goes the other way."""
    ways: dict[str, tuple[Sequence[Server], dict[str, Any] | None]] = {
        "student alone": ([student], None), "gateway, no calls": ([one], ALONE), "gateway, 1 % calls": ([one], CALLS),
        "two gateways, 1 % calls": (pair, CALLS)}
    legs = {name: Leg() for name in ways}
    for servers, relay in ways.values():
        _load(servers, bodies(min(16, tokens), 1, 7, relay))
    for turn in range(rounds):
        for name in list(ways)[::-1 if turn % 2 else 1]:
            _run(legs[name], *ways[name], tokens, 100 * (turn + 1))
    return legs


def _run(leg: Leg, servers: Sequence[Server], relay: dict[str, Any] | None, tokens: int, seed: int) -> None:
    before = sum(server.processor_seconds() for server in servers)
    seen = _load(servers, bodies(tokens, 1, seed, relay))
    leg.costs.append((sum(server.processor_seconds() for server in servers) - before) / seen.tokens)
    leg.speeds.append(seen.speed)
    leg.firsts += seen.firsts


def _load(servers: Sequence[Server], asked: list[list[dict[str, Any]]]) -> Load:
    """The clients, dealt out to the servers as a load balancer does it."""
    with ThreadPoolExecutor(len(servers)) as pool:
        seen = list(pool.map(lambda place: load(servers[place].port, asked[place::len(servers)]), range(len(servers))))
    faults = [fault for one in seen for fault in one.faults]
    if faults:
        raise SystemExit(f"a server refused: {faults[0].decode()}")
    return Load(sum(one.tokens for one in seen), max(one.seconds for one in seen),
                [first for one in seen for first in one.firsts])


@dataclass
class HandOvers:
    """Seconds between tokens, and what servers read again, over all answers."""

    gaps: list[float] = field(default_factory=list)
    """Between two tokens of the student: the mean counts, since several may arrive together."""
    to_teacher: list[float] = field(default_factory=list)
    """From the student's `</call>` to the teacher's first token, the first call of an answer left out."""
    back: list[float] = field(default_factory=list)
    """From the teacher's last token to the student's next one."""
    reread: int = 0
    """Tokens that the student's server read again, prompts left out."""
    calls: int = 0

    def add(self, told: Sequence[Sequence[tuple[float, Author]]], traces: Sequence[Trace]) -> None:
        """Count some answers: each with the times and authors of its tokens."""
        gaps, there, back = hand_over_seconds(told)
        self.gaps, self.to_teacher, self.back = self.gaps + gaps, self.to_teacher + there, self.back + back
        self.reread += sum(trace.ledger.student_reread - len(trace.prompt_ids) for trace in traces)
        self.calls += sum(len(trace.calls) for trace in traces)


def hand_overs(place: Path, student: Server, teacher: Server, rows: int, tokens: int, rounds: int) -> HandOvers:
    """The student calls as it likes, four tokens at most, in a decoder of this process: the gateway's without HTTP.

    So many rows are written side by side; of each round at least `ANSWERS` answers.
    """
    seen = HandOvers()
    decoder = RelayDecoder.from_servers([student.url], place / STUDENT, teacher.url)
    options = Options(max_new_tokens=tokens, temperature=1.0, max_calls=tokens, max_call_tokens=4)
    try:
        for turn in range(rounds):
            told: list[list[tuple[float, Author]]] = [[] for _ in range(max(rows, ANSWERS))]
            session = decoder.session(slots=rows)
            for row, its in enumerate(told):
                seed = 50_000 + 1000 * turn + row
                session.submit(decoder.request(PROMPT.format(seed=seed), options, seed=seed),
                               lambda event, its=its: its.append((time.perf_counter(), event.author)))
            traces = []
            while session.busy:
                traces += [done.trace for done in session.step()]
            seen.add(told, traces)
    finally:
        decoder.close()
    return seen


def hand_over_seconds(told: Sequence[Sequence[tuple[float, Author]]]) -> tuple[list[float], list[float], list[float]]:
    """Seconds between tokens: within the student's, to the teacher (from the second call on), and back."""
    gaps: list[float] = []
    there: list[float] = []
    back: list[float] = []
    for its in told:
        passes = [(one[1], other[1], other[0] - one[0]) for one, other in pairwise(its)]
        gaps += [gap for one, other, gap in passes if one is other is Author.STUDENT]
        there += [gap for one, other, gap in passes if (one, other) == (Author.COMMAND, Author.TEACHER)][1:]
        back += [gap for one, other, gap in passes if (one, other) == (Author.TEACHER, Author.STUDENT)]
    return gaps, there, back


@dataclass(frozen=True)
class Killed:
    """What became of answers while a replica was killed."""

    answers: int
    lost: int
    """Refused, or without all of their tokens."""
    degraded: int
    """Whole, but with less help than they asked for."""
    seconds: float
    """For all of them."""


def killed(front: Server, victim: Server, tokens: int, after: float) -> Killed:
    """Every client asks twice; one of the replicas is killed meanwhile."""
    asked = [{**body, "stream": False, "stream_options": None} for its in bodies(tokens, 2, 90_000, CALLS)
             for body in its]
    started = time.perf_counter()
    with httpx.Client(timeout=300, trust_env=False) as client, ThreadPoolExecutor(CLIENTS) as pool:
        answering = [pool.submit(client.post, front.url + "/v1/completions", json=body) for body in asked]
        time.sleep(after)
        victim.kill()
        answers = [one.result() for one in answering]
    whole = [answer.json() for answer in answers if answer.status_code == 200]
    full = [one for one in whole if one["usage"]["completion_tokens"] == tokens]
    return Killed(len(asked), len(asked) - len(full), sum(one["relay"]["degraded"] for one in full),
                  time.perf_counter() - started)
