"""One function per group of measures; each returns `{name: Measure}`."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from benchmarks import baselines
from benchmarks.timing import Took, median, ratio, side_by_side
from benchmarks.work import Work, check, draw, relay
from relayllm.engines.decoder import RelayDecoder
from relayllm.relay.events import Event
from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.policy import Scripted
from relayllm.relay.trace import Author


@dataclass(frozen=True)
class Measure:
    """A number and what it must reach."""

    value: float
    goal: float | None
    """None: shown for what it says, with no goal."""
    what: str
    at_most: bool = False
    """The goal is a ceiling."""
    details: Mapping[str, Any] | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the value reaches its goal; None where there is none."""
        if self.goal is None:
            return None
        return self.value <= self.goal if self.at_most else self.value >= self.goal


@dataclass(frozen=True)
class Size:
    """How much work is measured: rows, lengths, repetitions."""

    rows: int = 32
    prompt: tuple[int, int] = (100, 400)
    length: tuple[int, int] = (16, 256)
    one_row: int = 160
    """Completion tokens where there is one row."""
    near: int = 200
    far: int = 2000
    most_rows: int = 64
    scan: int = 48
    """Completion tokens per row where rows are counted."""
    roll_out: int = 64
    repeats: int = 5


FULL = Size()
QUICK = Size(rows=8, prompt=(20, 60), length=(24, 40), one_row=32, near=60, far=240, most_rows=8, scan=12, roll_out=12,
             repeats=3)


def one_row(decoder: RelayDecoder, size: Size, words: int) -> dict[str, Measure]:
    """A single row: the share of forwards, and beside `generate`."""
    middle = sum(size.prompt) // 2
    n = max(1, round(size.one_row / 100))
    work = draw(1, prompt=(middle, middle), length=(size.one_row, size.one_row), calls=1, n=n, words=words)
    runs = _timed(decoder, work, size.repeats, released=False)
    faster = ratio(runs["generate"], runs["alone"])
    return {
        "forward_share_1_row": Measure(_share(runs["calls"]), 0.95, "time in forwards / time of the decoder, 1 row",
                                       details={"without_calls": _share(runs["alone"]), "call_ratio": work.ratio}),
        "vs_generate_1_row": Measure(
            faster, 0.95, "relay tokens/s / `generate` of the student alone, same tokens, 1 row",
            details=_beside(runs, work)),
        "vs_generate_1_row_with_calls": Measure(
            ratio(runs["generate"], runs["calls"]), None,
            "the same, while the relay also pays a teacher for its calls"),
    }


def many_rows(decoder: RelayDecoder, size: Size, words: int) -> dict[str, Measure]:
    """Ragged rows: the share of forwards, beside `generate`, beside the released algorithm."""
    work = draw(size.rows, prompt=size.prompt, length=size.length, calls=3, n=1, words=words)
    runs = _timed(decoder, work, size.repeats, released=True)
    return {
        "forward_share_32_rows": Measure(_share(runs["calls"]), 0.90, "the same, 32 rows",
                                         details={"without_calls": _share(runs["alone"]), "call_ratio": work.ratio}),
        "vs_generate_32_rows": Measure(
            ratio(runs["generate"], runs["alone"]), 1.3, "the same, 32 ragged rows", details=_beside(runs, work)),
        "vs_generate_32_rows_with_calls": Measure(
            ratio(runs["generate"], runs["calls"]), None,
            "the same, while the relay also pays a teacher for its calls"),
        "vs_released_32_rows": Measure(
            ratio(runs["released"], runs["calls"]), 2.0,
            "relay tokens/s / the released algorithm, same engine, same calls, 32 rows, 3 calls each",
            details=_beside(runs, work)),
    }


def hand_over(decoder: RelayDecoder, size: Size, words: int) -> dict[str, Measure]:
    """What a call costs early and late in a row: from the student's last token before it to its first one after."""
    costs: dict[str, list[float]] = {"near": [], "far": []}
    calls = size.repeats + 1  # the first brings the prompt to the teacher
    for turn in range(2):
        for where, position in (("near", size.near), ("far", size.far))[::-1 if turn else 1]:
            costs[where] += _call_seconds(decoder, position, calls, words)
    near, far = statistics.median(costs["near"]), statistics.median(costs["far"])
    return {"hand_over_far_vs_near": Measure(
        far / near, 1.5, f"cost of a call at position {size.far} / at position {size.near}, 1 row", at_most=True,
        details={"near_seconds": near, "far_seconds": far, "calls": len(costs["near"])})}


def _call_seconds(decoder: RelayDecoder, position: int, calls: int, words: int, every: int = 16) -> list[float]:
    """Seconds of each call but the first of one row; the first is where the prompt ends."""
    work = draw(1, prompt=(position - every, position - every), length=(1, 1), calls=0, n=1, words=words)
    script = {0: [(index * every, 3) for index in range(calls)]}
    at: list[tuple[float, Author]] = []

    def note(event: Event) -> None:
        at.append((time.perf_counter(), event.author))

    session = decoder.session(1)
    session.submit(GenerationRequest(work.prompts[0], Options(max_new_tokens=calls * every, max_calls=calls,
                                                              policy=Scripted(script=script))), note)
    while session.busy:
        session.step()
    back = [index for index in range(1, len(at))
            if at[index][1] is Author.STUDENT and at[index - 1][1] is Author.TEACHER]
    assert len(back) == calls
    return [at[index][0] - max(seconds for seconds, author in at[:index] if author is Author.STUDENT)
            for index in back[1:]]


def rows(decoder: RelayDecoder, size: Size, words: int) -> dict[str, Measure]:
    """Tokens per second from one row to many, no calls."""
    counts = row_counts(size)
    works = {str(count): draw(count, prompt=(100, 100), length=(size.scan, size.scan), calls=0, n=1, words=words)
             for count in counts}
    runs = side_by_side({name: (lambda work=work: relay(decoder, work)) for name, work in works.items()},
                        size.repeats)
    speed = {name: works[name].tokens / median(took) for name, took in runs.items()}
    by_cpu = {name: works[name].tokens / median(took, cpu=True) for name, took in runs.items()}
    growth = min(speed[str(more)] / speed[str(less)] for less, more in pairwise(counts))
    return {"tokens_per_second_by_rows": Measure(
        growth, 1.0, f"tokens/s from 1 to {counts[-1]} rows: the smallest gain of a doubling",
        details={"tokens_per_second": speed, "tokens_per_cpu_second": by_cpu,
                 "prompt_tokens": 100, "completion_tokens": size.scan})}


def row_counts(size: Size) -> list[int]:
    """Numbers of rows to measure: powers of two up to the most."""
    return [count for count in (1, 2, 4, 8, 16, 32, 64) if count <= size.most_rows]


def roll_outs(decoder: RelayDecoder, size: Size, words: int) -> dict[str, Measure]:
    """Sampled roll-outs in groups, beside TRL's own generation: the same prompts, all answers of full length."""
    group = min(8, size.rows)
    work = draw(size.rows // group, prompt=size.prompt, length=(size.roll_out,) * 2, calls=0, n=1, words=words)
    with tempfile.TemporaryDirectory() as folder:
        trl = baselines.Trl(decoder.student.model, decoder.tokenizer, folder, group=group,  # type: ignore[attr-defined]
                            tokens=size.roll_out)
        runs = side_by_side({"relay": lambda: _sampled(decoder, work, group), "trl": lambda: trl(work.prompts)},
                            size.repeats)
    for took in (*runs["relay"], *runs["trl"]):
        assert all(len(ids) == size.roll_out for ids in took.result)
    tokens = size.rows * size.roll_out
    return {"roll_out_vs_trl": Measure(
        ratio(runs["trl"], runs["relay"]), 1.0, "roll-out tokens/s / TRL's own generation, same shape, no calls",
        details={"by_cpu_time": ratio(runs["trl"], runs["relay"], cpu=True),
                 "tokens_per_second": {name: tokens / median(took) for name, took in runs.items()},
                 "rows": size.rows, "group": group, "completion_tokens": size.roll_out})}


def _sampled(decoder: RelayDecoder, work: Work, group: int) -> list[tuple[int, ...]]:
    decoder.student.model.eval()  # type: ignore[attr-defined]
    traces = decoder.generate(work.prompts, n=group, temperature=1.0, max_new_tokens=work.lengths[0], max_calls=0)
    return [trace.token_ids for trace in traces]


def _timed(decoder: RelayDecoder, work: Work, repeats: int, *, released: bool) -> dict[str, list[Took]]:
    alone = work.without_calls()
    model = decoder.student.model  # type: ignore[attr-defined]
    runs = {"calls": lambda: _counted(decoder, work), "alone": lambda: _counted(decoder, alone),
            "generate": lambda: baselines.generate(model, work.prompts, work.lengths)}
    if released:
        runs["released"] = lambda: baselines.released(decoder, work)
    took = side_by_side(runs, repeats, warm=False)
    for name in {"generate", "released"} & set(took):
        assert all([len(ids) for ids in one.result] == list(work.lengths) for one in took[name])
    return took


def _counted(decoder: RelayDecoder, work: Work) -> float:
    """Do the work; returns the seconds inside forwards."""
    engines: list[Any] = [decoder.student, decoder.teacher.engine]  # type: ignore[union-attr]
    before = sum(engine.forward_seconds for engine in engines)
    for engine in engines:
        engine.measuring = True
    check(work, relay(decoder, work))
    for engine in engines:
        engine.measuring = False
    return float(sum(engine.forward_seconds for engine in engines) - before)


def _share(runs: list[Took]) -> float:
    return statistics.median(run.result / run.wall for run in runs)


def _beside(runs: dict[str, list[Took]], work: Work) -> dict[str, Any]:
    others = [name for name in runs if name not in ("calls", "alone")]
    against = {"generate": "alone", "released": "calls"}
    return {"by_cpu_time": {name: ratio(runs[name], runs[against[name]], cpu=True) for name in others},
            "tokens_per_second": {name: work.tokens / median(took) for name, took in runs.items()},
            "seconds": {name: [round(one.wall, 3) for one in took] for name, took in runs.items()},
            "completion_tokens": work.tokens, "call_ratio": work.ratio}


def scaled(size: Size, repeats: int | None) -> Size:
    """The same with another number of repetitions."""
    return size if repeats is None else replace(size, repeats=repeats)
