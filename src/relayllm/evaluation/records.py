"""Per-problem records: one row per answer, one Parquet file per method."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from relayllm.errors import DataError
from relayllm.files import atomic_write
from relayllm.grading import Grade
from relayllm.problems.problem import Problem
from relayllm.relay.trace import Author, Call, Trace

SCHEMA = pa.schema([
    ("method", pa.string()),
    ("benchmark", pa.string()),
    ("problem_id", pa.string()),
    ("sample", pa.int32()),
    ("correct", pa.bool_()),
    ("completion_tokens", pa.int32()),
    ("student_tokens", pa.int32()),
    ("command_tokens", pa.int32()),
    ("teacher_tokens", pa.int32()),
    ("teacher_prefilled", pa.int64()),
    ("calls", pa.int32()),
    ("call_ratio", pa.float64()),
    ("requested", pa.list_(pa.int32())),
    ("call_positions", pa.list_(pa.int32())),
    ("stop_reason", pa.string()),
    ("degraded", pa.bool_()),
    ("text", pa.string()),
    ("answer", pa.string()),
    ("reason", pa.string()),
    ("question", pa.string()),
    ("gold", pa.string()),
    ("segments", pa.string()),
    ("student_prefilled", pa.int64()),
    ("teacher_cached", pa.int64()),
    ("call_teachers", pa.list_(pa.string())),
    ("call_tokens", pa.list_(pa.int32())),
    ("call_read", pa.list_(pa.int64())),
    ("call_cached", pa.list_(pa.int64())),
    ("student_cached", pa.int64()),
    ("student_reread", pa.int64()),
])
"""The columns of a record file; it may have more (a judge's verdict is `judged`)."""

KEY = ["method", "benchmark", "problem_id", "sample"]
SECONDS = ("student_seconds", "teacher_seconds")
CALL_SECONDS = "call_seconds"
SECONDS_SCHEMA = pa.schema([*(SCHEMA.field(name) for name in KEY), *((name, pa.float64()) for name in SECONDS),
                            (CALL_SECONDS, pa.list_(pa.float64()))])
"""The columns of a file of seconds, which no two runs share: it lies apart, and records are the same bytes again."""

PRICED = ("student_prefilled", "student_cached", "student_reread", "teacher_cached", *SECONDS)
"""Columns that only prices read: files of older versions lack them."""
CALL_COLUMNS = ("call_teachers", "call_tokens", "call_read", "call_cached", CALL_SECONDS)
"""Columns that only the prices of a pool's teachers read, an entry per call: files of older versions lack them."""

JUDGED = "judged"
Segments = list[tuple[str, str]]
"""(author, text) in the order of writing; a command's text is its `<call>n</call>`."""


@dataclass(frozen=True, slots=True)
class Record:
    """One answer of one method to one problem, graded. Token counts are those of the trace's ledger."""

    method: str
    benchmark: str
    problem_id: str
    sample: int
    correct: bool
    completion_tokens: int
    student_tokens: int
    command_tokens: int
    teacher_tokens: int
    teacher_prefilled: int
    calls: int
    call_ratio: float
    requested: list[int]
    """n of each call, as the student wrote it."""
    call_positions: list[int]
    """Index of each `<call>` in the completion."""
    stop_reason: str
    degraded: bool
    text: str
    answer: str | None
    """As extracted from the text; None when there is none."""
    reason: str
    """What decided the grade; "time limit" is an answer that nobody called wrong."""
    question: str
    gold: str
    segments: str
    """JSON: [[author, text], ...]."""
    student_prefilled: int = 0
    teacher_cached: int = 0
    student_seconds: float = 0.0
    teacher_seconds: float = 0.0
    call_teachers: list[str] = field(default_factory=list)
    """Who of a pool was asked by each call; empty for any other teacher: an address is not the same everywhere."""
    call_tokens: list[int] = field(default_factory=list)
    """What each call delivered."""
    call_read: list[int] = field(default_factory=list)
    call_cached: list[int] = field(default_factory=list)
    call_seconds: list[float] = field(default_factory=list)
    student_cached: int = 0
    student_reread: int = 0
    """What the server of a student elsewhere read; 0 for one in process, where `student_prefilled` is what it read."""


def record_of(method: str, benchmark: str, problem: Problem, trace: Trace, grade: Grade) -> Record:
    """The record of one trace; the sample's number is the trace's."""
    ledger = trace.ledger
    return Record(
        method, benchmark, problem.id, trace.sample, grade.correct,
        completion_tokens=len(trace.token_ids), student_tokens=ledger.student_tokens,
        command_tokens=ledger.command_tokens, teacher_tokens=ledger.teacher_tokens,
        teacher_prefilled=ledger.teacher_prefilled, calls=len(trace.calls), call_ratio=trace.call_ratio,
        requested=[call.requested for call in trace.calls], call_positions=[call.position for call in trace.calls],
        stop_reason=str(trace.stop_reason), degraded=trace.degraded, text=trace.text, answer=grade.extracted,
        reason=grade.reason, question=problem.question, gold=problem.answer,
        segments=write_segments(segments_of(trace)),
        student_prefilled=ledger.student_prefilled, teacher_cached=ledger.teacher_cached,
        student_seconds=ledger.student_seconds, teacher_seconds=ledger.teacher_seconds,
        call_teachers=[_pool_name(call) for call in trace.calls], call_tokens=[call.delivered for call in trace.calls],
        call_read=[call.read for call in trace.calls], call_cached=[call.cached for call in trace.calls],
        call_seconds=[call.seconds for call in trace.calls],
        student_cached=ledger.student_cached, student_reread=ledger.student_reread,
    )


def _pool_name(call: Call) -> str:
    return "" if "/" in call.teacher else call.teacher


def by_the_teacher(record: Record) -> Record:
    """An answer that the teacher gave alone: there the trace calls it student."""
    return replace(record, teacher_tokens=record.completion_tokens, student_tokens=0, call_ratio=1.0,
                   teacher_prefilled=record.student_reread or record.student_prefilled, student_prefilled=0,
                   student_reread=0, teacher_cached=record.student_cached, student_cached=0,
                   teacher_seconds=record.student_seconds, student_seconds=0.0)


def segments_of(trace: Trace) -> Segments:
    """The completion as runs of text by one author, read off the trace's segments."""
    segments: Segments = []
    for segment in trace.segments:
        if segment.author is Author.COMMAND:
            asked = [call.requested for call in trace.calls if segment.start <= call.position < segment.stop]
            segments += [(Author.COMMAND.value, f"<call>{n}</call>") for n in asked]
        elif text := trace.text[segment.text_start:segment.text_stop]:
            segments.append((segment.author.value, text))
    return segments


def write_segments(segments: Segments) -> str:
    """Segments as they stand in a record."""
    return json.dumps(segments, ensure_ascii=False)


def read_segments(text: str) -> Segments:
    """Segments of a record."""
    return [(str(author), str(part)) for author, part in json.loads(text)]


def write_records(path: Path, rows: Iterable[Record], judged: Sequence[bool | None] | None = None) -> None:
    """Write the records of one method, whole or not at all, with a judge's verdicts when there was one."""
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=SCHEMA)
    if judged is not None:
        table = table.append_column(pa.field(JUDGED, pa.bool_()), pa.array(judged, pa.bool_()))
    with atomic_write(path) as part:
        pq.write_table(table, part, compression="zstd")


def write_seconds(path: Path, rows: Iterable[Record]) -> None:
    """Write what the answers of one method took."""
    with atomic_write(path) as part:
        pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=SECONDS_SCHEMA), part)


def read_records(folder: Path, seconds: Path | None = None) -> pd.DataFrame:
    """All records of a folder, file by file in the order of their names.

    `seconds` is the folder of `write_seconds`; what is not there is not a number in the frame.

    Raises:
        DataError: there are none, a column is missing, or an answer is there twice.
    """
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise DataError(f"no records in {folder}: `dvc repro evaluate` makes them")
    frame = pd.concat([_read(file, seconds) for file in files], ignore_index=True)
    twice = frame[frame.duplicated(KEY)]
    if len(twice):
        row = twice.iloc[0]
        raise DataError(f"{folder}: {row['method']} answers {row['benchmark']}/{row['problem_id']} twice as sample "
                        f"{row['sample']} ({len(twice)} such rows): remove the file that does not belong there")
    return frame


def _read(file: Path, seconds: Path | None) -> pd.DataFrame:
    table = _table(file)
    late = (*PRICED, *CALL_COLUMNS)
    missing = [name for name in SCHEMA.names if name not in table.column_names and name not in late]
    if missing:
        raise DataError(f"{file} lacks {', '.join(missing)}: it is from another version; `dvc repro -f evaluate` "
                        "writes it again")
    frame = table.to_pandas()
    if seconds is not None and (took := seconds / file.name).is_file():
        frame = frame.merge(_table(took).to_pandas(), on=KEY, how="left", validate="many_to_one")
    return frame.assign(**{name: math.nan for name in late if name not in frame})


def _table(file: Path) -> pa.Table:
    try:
        return pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} is not Parquet ({error}): `dvc repro -f evaluate` writes it again") from error


def each_call(frame: pd.DataFrame) -> Iterator[tuple[str, int, int, int]]:
    """(benchmark, n, position, completion tokens) of every call in the records."""
    columns = (frame["benchmark"], frame["requested"], frame["call_positions"], frame["completion_tokens"])
    for benchmark, requested, positions, tokens in zip(*columns, strict=True):
        for n, position in zip(requested, positions, strict=True):
            yield str(benchmark), int(n), int(position), int(tokens)
