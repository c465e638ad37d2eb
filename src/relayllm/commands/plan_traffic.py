"""A month of traffic in money: the relay beside the student alone and the teacher alone, reading included.

What an answer calls is given, or measured by this folder's report; nothing of it is assumed. The calls of an answer
are taken to lie evenly in it, and a teacher to find in its cache all that it has read. Of a pool the teacher that the
rules put first writes a call, at its own prices; none is taken to fail.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from relayllm.config import Params
from relayllm.engines.openai.pool_config import PoolConfig, TeacherConfig
from relayllm.errors import ConfigError, DataError
from relayllm.relay.prices import CALL_TOKENS, VARIABLE, Prices
from relayllm.relay.trace import Call, Ledger

DAYS = 30
"""Of a month."""
SUMMARY = "artifacts/report/summary.json"
ONE_TEACHER = PoolConfig(teachers=(TeacherConfig(name="teacher", urls=("",)),))
"""Without a pool: every call is its, at the prices that all teachers have."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What comes in, and what an answer to it is like; tokens and calls are means.

    Raises:
        ConfigError: numbers that no traffic has.
    """

    requests: int
    """A day."""
    prompt: float
    answer: float
    """Tokens of the completion, the teacher's and the commands included."""
    call_ratio: float
    calls: float
    """An answer."""
    source: str = "given"
    """Where calls and their ratio come from."""

    def __post_init__(self) -> None:
        for name, value in (("--requests-per-day", self.requests), ("--prompt-tokens", self.prompt)):
            if value < 1:
                raise ConfigError(f"{name} is {value}: give 1 or more")
        if not 0 <= self.call_ratio <= 1:
            raise ConfigError(f"--call-ratio is {self.call_ratio}: give a share from 0 to 1, as in 0.04")
        if not 0 <= self.calls < float("inf"):
            raise ConfigError(f"--calls is {self.calls}: give the mean number of calls of an answer, 0 or more")
        if bool(self.calls) != bool(self.call_ratio):
            raise ConfigError(f"--calls is {self.calls:g} and --call-ratio is {self.call_ratio:g}: give both as 0, or "
                              "neither")
        if self.calls and self.a_call < 1 - 1e-9:
            raise ConfigError(f"{self.calls:g} calls bring {self.call_ratio * self.answer:.2g} tokens of "
                              f"{self.answer:g}, less than one each: give fewer --calls or a larger --call-ratio")
        longest = math.ceil(self.calls) * (self.a_call + self.a_command)
        if longest > self.answer * (1 + 1e-9):
            raise ConfigError(f"{math.ceil(self.calls)} calls with their commands are {longest:.0f} tokens, the answer "
                              f"has {self.answer:g}: give more --answer-tokens, or other --calls and --call-ratio")

    @property
    def a_call(self) -> float:
        """Tokens that one call delivers."""
        return self.call_ratio * self.answer / self.calls if self.calls else 0.0

    @property
    def a_command(self) -> int:
        """Tokens of a command that asks for so many: two tags and a digit each. The teacher never reads them."""
        return 2 + len(str(max(1, round(self.a_call))))

    @property
    def a_month(self) -> int:
        """Requests of a month."""
        return self.requests * DAYS


def measured(folder: Path, params: Params) -> dict[str, float] | None:
    """Length, call ratio and calls of the relay's answers by the folder's report; None where it is of no such profile.

    Raises:
        DataError: the summary cannot be read.
    """
    path = folder / SUMMARY
    if not path.is_file():
        return None
    try:
        summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if summary["profile"] != params.profile or params.evaluate.relay not in summary["methods"]:
            return None
        average = summary["methods"][params.evaluate.relay]["average"]
        return {"answer": float(average["completion_tokens"]), "call_ratio": float(average["call_ratio"]),
                "calls": float(average["calls_per_answer"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no summary of a report ({error!r}): `dvc repro report` writes it, or give "
                        "--call-ratio and --calls") from error


def traffic_of(requests: int, prompt: float, answer: int | None, asked: tuple[float | None, float | None],
               known: dict[str, float] | None, otherwise: int) -> Traffic:
    """Traffic from what was given (`asked`: call ratio, calls), else from what was measured.

    Raises:
        ConfigError: neither says how much an answer calls, or only half of it was given.
    """
    ratio, calls = asked
    if ratio is not None and calls is not None:
        return Traffic(requests, prompt, answer or otherwise, ratio, calls)
    if ratio is not None or calls is not None:
        raise ConfigError("--call-ratio and --calls belong together: a call pays for its reading, so that one call of "
                          "40 tokens costs less than forty of one; give both")
    if known is None:
        raise ConfigError(f"what an answer calls is not known: no {SUMMARY} of this profile is here; run the pipeline, "
                          "or give --call-ratio and --calls")
    length = answer or known["answer"]
    return Traffic(requests, prompt, length, known["call_ratio"], known["calls"], f"measured: {SUMMARY}")


@dataclass(frozen=True, slots=True)
class PlannedAnswer:
    """What an answer takes, in means."""

    ledger: Ledger
    calls: tuple[Call, ...] = ()
    share: float = 1.0
    """Of all answers."""


def relay_answers(traffic: Traffic, pool: PoolConfig = ONE_TEACHER) -> list[PlannedAnswer]:
    """Answers with so many calls: a mean between two whole numbers."""
    few = int(traffic.calls)
    more = traffic.calls - few
    return [_answer(traffic, pool, calls, share) for share, calls in ((1 - more, few), (more, few + 1)) if share]


def _answer(traffic: Traffic, pool: PoolConfig, count: int, share: float) -> PlannedAnswer:
    """An answer of so many calls, evenly laid."""
    commands, teacher_tokens = count * traffic.a_command, count * traffic.a_call
    written = traffic.answer - commands - teacher_tokens
    calls = _calls(traffic, pool, count, written / (count + 1))
    ledger = _tokens(student_tokens=written, command_tokens=commands, teacher_tokens=teacher_tokens,
                     teacher_prefilled=sum(call.read for call in calls),
                     teacher_cached=sum(call.cached for call in calls),
                     student_prefilled=traffic.prompt + teacher_tokens)
    return PlannedAnswer(ledger, calls, share)


def _calls(traffic: Traffic, pool: PoolConfig, count: int, between: float) -> tuple[Call, ...]:
    """Each finds cached what its teacher saw last, and reads what came since, all of it at that teacher's first call.

    A teacher's last token is in no cache: nobody has read it yet.
    """
    known: dict[str, float] = {}
    calls = []
    for number in range(1, count + 1):
        teacher = min(pool.teachers, key=lambda one: one.rank(max(1, round(traffic.a_call)), number)).name
        view = traffic.prompt + number * between + (number - 1) * traffic.a_call
        seen = known.get(teacher, 0.0)
        calls.append(_call(teacher, delivered=traffic.a_call, read=view - seen, cached=max(0.0, seen - 1)))
        known[teacher] = view + traffic.a_call
    return tuple(calls)


def _call(teacher: str, **means: float) -> Call:
    return replace(Call(0, 0, 0, 0, teacher=teacher), **means)  # type: ignore[arg-type]


def _tokens(**means: float) -> Ledger:
    """A ledger of means: Prices counts with any numbers."""
    return replace(Ledger(), **means)  # type: ignore[arg-type]


def month(traffic: Traffic, prices: Prices, pool: PoolConfig = ONE_TEACHER) -> dict[str, dict[str, float]]:
    """What each way of answering costs a month, by what it is paid for; every teacher of the pool is one."""
    student = _tokens(student_tokens=traffic.answer, student_prefilled=traffic.prompt)
    teacher = _tokens(teacher_tokens=traffic.answer, teacher_prefilled=traffic.prompt)
    ways = {"relay": relay_answers(traffic, pool), "student alone": [PlannedAnswer(student)]} | {
        _alone(one, pool): [PlannedAnswer(teacher, (_call(one.name, delivered=traffic.answer, read=traffic.prompt),))]
        for one in pool.teachers}
    return {way: _a_month(traffic, prices, answers) for way, answers in ways.items()}


def _a_month(traffic: Traffic, prices: Prices, answers: list[PlannedAnswer]) -> dict[str, float]:
    parts = [(one.share, prices.parts(one.ledger, one.calls)) for one in answers]
    return {name: traffic.a_month * sum(share * part[name] for share, part in parts) for name in parts[0][1]}


def prices_of(params: Params, pool: PoolConfig = ONE_TEACHER) -> tuple[Prices, str]:
    """The prices to count with, and where they are: RELAY_PRICES, else the profile's; teachers' own before both.

    Raises:
        ConfigError: nothing has a price per token.
    """
    prices, source = Prices.from_environment(os.environ), VARIABLE
    if not prices.known and params.report.prices:
        prices, source = Prices.of(params.report.prices.model_dump(), "report.prices"), "report.prices of the profile"
    prices = replace(prices, teachers=pool.prices)
    counted = [prices.student, prices.student_read, *(getattr(one, name) for one in (prices, *pool.prices.values())
                                                      for name in CALL_TOKENS)]
    if not any(counted):
        raise ConfigError(f"no token has a price, so a month has none: set {VARIABLE}, as in "
                          "student=0.05,teacher=2.4,teacher_read=0.6")
    return prices, source


def traffic_report(traffic: Traffic, prices: Prices, source: str, pool: PoolConfig = ONE_TEACHER) -> Iterator[str]:
    """The month as lines of text; the last teacher of a pool is the one that prices are compared with."""
    yield f"A month of {traffic.requests:,} requests a day, {traffic.a_month:,} in {DAYS} days, in {prices.currency} " \
          f"({source})"
    yield f"  prompts of {traffic.prompt:,.0f} tokens, answers of {traffic.answer:,.0f}; {traffic.calls:.2f} calls " \
          f"an answer, {100 * traffic.call_ratio:.2f} % of its tokens ({traffic.source})"
    found, last = month(traffic, prices, pool), _alone(pool.teachers[-1], pool)
    whole, width = sum(found[last].values()), max(map(len, found))
    for way, parts in found.items():
        cost = sum(parts.values())
        beside = f"{100 * cost / whole:6.1f} % of {'the ' * (pool is ONE_TEACHER)}{last}" if whole else ""
        yield f"  {way:{width}}  {cost:>14,.2f}  {beside}".rstrip()
    if pool is not ONE_TEACHER and traffic.calls:
        yield f"  Of its calls, by the rules and if none fails: {_shares(traffic, pool)}."
    called = {name: found["relay"][name] for name in CALL_TOKENS}
    paid = sum(called.values())
    if paid:
        yield f"  Calls are {paid:,.2f} of the relay's price; {100 * (1 - called['teacher'] / paid):.0f} % of that " \
              "is reading."
    if any(one.student_second or one.teacher_second for one in (prices, *pool.prices.values())):
        yield "  Prices per second are left out: the seconds of such traffic are not known before it is served."


def _alone(teacher: TeacherConfig, pool: PoolConfig) -> str:
    """The way of answering in which this teacher writes all."""
    return "teacher alone" if pool is ONE_TEACHER else f"teacher {teacher.name} alone"


def _shares(traffic: Traffic, pool: PoolConfig) -> str:
    """Which teacher writes how many of the calls."""
    answers = relay_answers(traffic, pool)
    counts = {one.name: sum(answer.share * sum(call.teacher == one.name for call in answer.calls)
                            for answer in answers) for one in pool.teachers}
    return ", ".join(f"{name} {100 * count / traffic.calls:.0f} %" for name, count in counts.items())
