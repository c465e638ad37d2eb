"""Made-up records with known properties: how each method fares is written in MIXES."""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from relayllm.evaluation.records import CALL_SECONDS, SCHEMA, SECONDS, Record, write_records, write_segments

BENCHMARKS = ("pens", "boxes", "trips", "gardens", "markets", "puzzles")
HARD_SHARE = dict(zip(BENCHMARKS, (0.05, 0.25, 0.45, 0.65, 0.8, 0.9), strict=True))


@dataclass(frozen=True)
class RecordMix:
    """Chance to be right on easy and hard problems, tokens of an answer, and calls on hard problems: how many, n."""

    easy: float
    hard: float
    tokens: int = 60
    calls: float = 0.0
    easy_calls: float = 0.0
    n: int = 3
    teacher_share: float = 0.0


MIXES = {
    "base": RecordMix(0.95, 0.08),
    "warmup": RecordMix(0.90, 0.07, calls=0.3, easy_calls=0.3, n=20),
    "grpo": RecordMix(0.97, 0.15),
    "relay-simple": RecordMix(0.95, 0.75, calls=0.8, n=3),
    "relay-difficulty": RecordMix(0.96, 0.90, tokens=62, calls=1.0, easy_calls=0.04, n=3),
    "teacher-free": RecordMix(0.95, 0.10),
    "teacher": RecordMix(0.99, 0.96, teacher_share=1.0),
    "random-query": RecordMix(0.95, 0.12),
    "random-position": RecordMix(0.94, 0.16, calls=0.7, easy_calls=0.7, n=3),
    "fixed-20": RecordMix(0.96, 0.93, calls=1.0, easy_calls=0.1, n=20),
}


def make_records(method: str, problems: int = 100, samples: int = 1, seed: int = 0, mix: RecordMix | None = None,
                 benchmarks: tuple[str, ...] = BENCHMARKS) -> list[Record]:
    """Records of one method; the same problems for every method."""
    mix = mix or MIXES[method]
    rng = random.Random(zlib.crc32(f"{method}{seed}".encode()))
    return [_record(method, benchmark, index, sample, mix, rng)
            for benchmark in benchmarks for index in range(problems) for sample in range(samples)]


def make_frame(methods: tuple[str, ...] = tuple(MIXES), **options: Any) -> pd.DataFrame:
    """Records of several methods as the reader gives them."""
    rows = [row for method in methods for row in make_records(method, **options)]
    columns = [*SCHEMA.names, *SECONDS, CALL_SECONDS]
    return pd.DataFrame([{name: getattr(row, name) for name in columns} for row in rows])


def write_folder(folder: Path, methods: tuple[str, ...] = tuple(MIXES), **options: Any) -> Path:
    """A folder of record files."""
    for method in methods:
        write_records(folder / f"{method}.parquet", make_records(method, **options))
    return folder


def make_history(steps: int = 100, calls: bool = True) -> list[dict[str, float]]:
    """Learning curves of one run."""
    rng = random.Random(0)
    rows = []
    for step in range(1, steps + 1):
        done = 1 - 2.7 ** (-3.0 * step / steps)
        noise = rng.gauss(0, 0.02)
        row = {"step": step, "reward": 0.3 + 0.8 * done + noise,
               "accuracy": 0.35 + (0.55 if calls else 0.1) * done + noise,
               "call_ratio": (0.2 * (1 - done) + 0.03 + noise / 10) if calls else 0.0,
               "callers": (0.7 - 0.25 * done + noise) if calls else 0.0, "student_solvable": 0.45 + 0.05 * done,
               "teacher_dependent": 0.2 + 0.25 * done, "teacher_unsolvable": 0.35 - 0.3 * done,
               "truncated": 0.03 * (1 - done),
               "entropy": 0.3 * (1 - done) + 0.1, "kl": 0.05 * done, "length": 62 + 3 * done, "calls_per_answer": 0.6,
               "mean_n": 20 - 17 * done, "seconds_student": 0.8, "seconds_teacher": 0.3, "seconds_update": 0.7}
        if step % 20 == 0 or step == 1:
            row |= {"held_out_accuracy": row["accuracy"] + 0.03, "held_out_call_ratio": row["call_ratio"] * 0.9}
        rows.append(row)
    return rows


def _record(method: str, benchmark: str, index: int, sample: int, mix: RecordMix, rng: random.Random) -> Record:
    hard = random.Random(zlib.crc32(f"{benchmark}{index}".encode())).random() < HARD_SHARE[benchmark]
    correct = rng.random() < (mix.hard if hard else mix.easy)
    calls = int(rng.random() < (mix.calls if hard else mix.easy_calls))
    product = str(12 * 13 + index)
    said, wrote = ("12*13=", product[:mix.n]) if calls else (f"12*13={product}", "")
    before, after = "First we count what is there. So ", " pens in all. The answer is \\boxed{" + product + "}."
    segments = [("student", before + said)]
    if mix.teacher_share:
        segments = [("teacher", before + said + after)]
    elif calls:
        segments += [("command", f"<call>{mix.n}</call>"), ("teacher", wrote), ("student", after)]
    else:
        segments = [("student", before + said + after)]
    tokens = max(20, round(rng.gauss(mix.tokens, 5)))
    commands = calls * (2 + len(str(mix.n)))
    helped = tokens if mix.teacher_share else calls * mix.n
    return Record(
        method, benchmark, f"{benchmark}-{index:05d}", sample, correct, tokens, tokens - helped - commands, commands,
        helped, 80 * calls, calls, helped / tokens, [mix.n] * calls, [int(tokens * rng.uniform(0.3, 0.6))] * calls,
        "finished", False, "".join(text for author, text in segments if author != "command"), product,
        "equal number" if correct else "different",
        f"Anna has 12 boxes with 13 <pens> & {index} loose ones. How many?", product if correct else "7",
        write_segments(segments), student_prefilled=50 + helped * (calls > 0), teacher_cached=30 * calls,
        student_seconds=0.5, teacher_seconds=0.25 * calls, call_teachers=[""] * calls, call_tokens=[mix.n] * calls,
        call_read=[80] * calls, call_cached=[30] * calls, call_seconds=[0.25] * calls)
