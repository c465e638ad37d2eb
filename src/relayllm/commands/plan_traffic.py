"""A month of traffic in money: the relay beside the student alone and the teacher alone, reading included.

What an answer calls is given, or measured by this folder's report; nothing of it is assumed. The calls of an answer
are taken to lie evenly in it, and a teacher to find in its cache all that it has read.
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
from relayllm.errors import ConfigError, DataError
from relayllm.relay.prices import CALL_TOKENS, VARIABLE, Prices
from relayllm.relay.trace import Ledger

DAYS = 30
"""Of a month."""
SUMMARY = "artifacts/report/summary.json"


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
        """Requests."""
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


def relay_ledgers(traffic: Traffic) -> list[tuple[float, Ledger]]:
    """What an answer costs in tokens, as shares of answers with so many calls: a mean between two whole numbers."""
    few = int(traffic.calls)
    more = traffic.calls - few
    return [(share, _ledger(traffic, calls)) for share, calls in ((1 - more, few), (more, few + 1)) if share]


def _ledger(traffic: Traffic, calls: int) -> Ledger:
    """An answer of so many calls, evenly laid: each finds cached what the last one saw, and reads what came since.

    A teacher's last token is in no cache: nobody has read it yet.
    """
    commands, told = calls * traffic.a_command, calls * traffic.a_call
    written = traffic.answer - commands - told
    between = written / (calls + 1)
    fresh = traffic.prompt + calls * between if calls else 0.0
    cached = sum(traffic.prompt + done * (between + traffic.a_call) - 1 for done in range(1, calls))
    return _tokens(student_tokens=written, command_tokens=commands, teacher_tokens=told, teacher_prefilled=fresh,
                   teacher_cached=cached, student_prefilled=traffic.prompt + told)


def _tokens(**means: float) -> Ledger:
    """A ledger of means: Prices counts with any numbers."""
    return replace(Ledger(), **means)  # type: ignore[arg-type]


def month(traffic: Traffic, prices: Prices) -> dict[str, dict[str, float]]:
    """What each way of answering costs a month, by what it is paid for."""
    ways = {"relay": relay_ledgers(traffic),
            "student alone": [(1.0, _tokens(student_tokens=traffic.answer, student_prefilled=traffic.prompt))],
            "teacher alone": [(1.0, _tokens(teacher_tokens=traffic.answer, teacher_prefilled=traffic.prompt))]}
    found: dict[str, dict[str, float]] = {}
    for way, ledgers in ways.items():
        parts = [(share, prices.parts(ledger)) for share, ledger in ledgers]
        found[way] = {name: traffic.a_month * sum(share * part[name] for share, part in parts) for name in parts[0][1]}
    return found


def prices_of(params: Params) -> tuple[Prices, str]:
    """The prices to count with, and where they are: RELAY_PRICES, else the profile's.

    Raises:
        ConfigError: nothing has a price per token.
    """
    prices, source = Prices.from_environment(os.environ), VARIABLE
    if not prices.known and params.report.prices:
        prices, source = Prices.of(params.report.prices.model_dump(), "report.prices"), "report.prices of the profile"
    if not any(getattr(prices, name) for name in ("student", "student_read", *CALL_TOKENS)):
        raise ConfigError(f"no token has a price, so a month has none: set {VARIABLE}, as in "
                          "student=0.05,teacher=2.4,teacher_read=0.6")
    return prices, source


def traffic_report(traffic: Traffic, prices: Prices, source: str) -> Iterator[str]:
    """The month as lines of text."""
    yield f"A month of {traffic.requests:,} requests a day, {traffic.a_month:,} in {DAYS} days, in {prices.currency} " \
          f"({source})"
    yield f"  prompts of {traffic.prompt:,.0f} tokens, answers of {traffic.answer:,.0f}; {traffic.calls:.2f} calls " \
          f"an answer, {100 * traffic.call_ratio:.2f} % of its tokens ({traffic.source})"
    found = month(traffic, prices)
    whole = sum(found["teacher alone"].values())
    for way, parts in found.items():
        cost = sum(parts.values())
        of_teacher = f"{100 * cost / whole:6.1f} % of the teacher alone" if whole else ""
        yield f"  {way:13}  {cost:>14,.2f}  {of_teacher}".rstrip()
    called = {name: found["relay"][name] for name in CALL_TOKENS}
    paid = sum(called.values())
    if paid:
        yield f"  Calls are {paid:,.2f} of the relay's price; {100 * (1 - called['teacher'] / paid):.0f} % of that " \
              "is reading."
    if prices.student_second or prices.teacher_second:
        yield "  Prices per second are left out: the seconds of such traffic are not known before it is served."
