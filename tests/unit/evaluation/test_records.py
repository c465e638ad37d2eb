from dataclasses import replace

import pandas as pd
import pytest

from relayllm.errors import DataError
from relayllm.evaluation.analysis.reward_hacking import reward_hacking
from relayllm.evaluation.records import (
    CALL_SECONDS,
    SCHEMA,
    SECONDS,
    by_the_teacher,
    each_call,
    read_records,
    read_segments,
    record_of,
    write_records,
    write_seconds,
)
from relayllm.evaluation.report.wording import REWARD_HACKING, reward_hacking_rows
from relayllm.grading import TIME_LIMIT, Grade
from relayllm.problems.problem import Problem
from relayllm.relay.trace import Author, Call, Ledger, Segment, StopReason, Trace
from tests.support.make_records import make_records

TRACE = Trace(
    prompt_ids=(1, 2), token_ids=tuple(range(10)), authors=(Author.STUDENT,) * 10, logprobs=(None,) * 10,
    calls=(Call(position=2, requested=3, granted=3, delivered=2, teacher="strong", read=4, cached=6, seconds=0.5),),
    ledger=Ledger(student_tokens=5, command_tokens=3, teacher_tokens=2, teacher_prefilled=4),
    stop_reason=StopReason.FINISHED, text="2*2=4.", sample=1,
    segments=(Segment(Author.STUDENT, 0, 2, 0, 4), Segment(Author.COMMAND, 2, 5, 4, 4),
              Segment(Author.TEACHER, 5, 7, 4, 5), Segment(Author.STUDENT, 7, 10, 5, 6)))


def test_record_of_trace_tells_who_wrote_what():
    record = record_of("relay", "pens", Problem("p1", "2*2?", "4"), TRACE, Grade(True, "4", "equal text"))
    assert read_segments(record.segments) == [("student", "2*2="), ("command", "<call>3</call>"), ("teacher", "4"),
                                        ("student", ".")]
    assert (record.completion_tokens, record.teacher_tokens, record.call_ratio) == (10, 2, 0.2)
    assert (record.requested, record.call_positions, record.sample) == ([3], [2], 1)


def test_record_of_trace_tells_which_teacher_of_a_pool_each_call_asked_and_for_how_much():
    record = record_of("relay", "pens", Problem("p1", "2*2?", "4"), TRACE, Grade(True, "4", "equal text"))
    assert (record.call_teachers, record.call_tokens, record.call_read, record.call_cached, record.call_seconds) == (
        ["strong"], [2], [4], [6], [0.5])
    at = replace(TRACE, calls=(replace(TRACE.calls[0], teacher="http://strong:8000"),))
    assert record_of("relay", "pens", Problem("p1", "2*2?", "4"), at, Grade(True, "4", "")).call_teachers == [""]


def test_record_of_trace_tells_what_a_students_server_read_and_whose_that_is_when_the_teacher_answered():
    ledger = replace(TRACE.ledger, student_prefilled=4, student_reread=9, student_cached=16)
    record = record_of("base", "pens", Problem("p1", "2*2?", "4"), replace(TRACE, ledger=ledger), Grade(True, "4", ""))
    assert (record.student_prefilled, record.student_reread, record.student_cached) == (4, 9, 16)
    theirs = by_the_teacher(record)
    assert (theirs.teacher_prefilled, theirs.teacher_cached) == (9, 16)
    assert (theirs.student_prefilled, theirs.student_reread, theirs.student_cached) == (0, 0, 0)


def test_written_records_are_read_back(tmp_path):
    rows = make_records("relay-difficulty", problems=5)
    write_records(tmp_path / "relay-difficulty.parquet", rows)
    frame = read_records(tmp_path)
    assert list(frame.columns) == [*SCHEMA.names, *SECONDS, CALL_SECONDS]
    assert [bool(value) for value in frame["correct"]] == [row.correct for row in rows]
    assert [list(value) for value in frame["requested"]] == [row.requested for row in rows]


def test_seconds_lie_apart_and_come_back_to_their_answers(tmp_path):
    rows = make_records("relay-difficulty", problems=5)
    write_records(tmp_path / "records/relay-difficulty.parquet", rows)
    write_seconds(tmp_path / "seconds/relay-difficulty.parquet", rows[::-1])
    assert read_records(tmp_path / "records")["teacher_seconds"].isna().all()
    frame = read_records(tmp_path / "records", tmp_path / "seconds")
    assert frame["teacher_seconds"].tolist() == [row.teacher_seconds for row in rows]
    assert list(frame["text"]) == [row.text for row in rows]


def test_same_records_give_same_bytes_whatever_they_took(tmp_path):
    for name, seconds in (("a", 1.0), ("b", 2.0)):
        write_records(tmp_path / name, [replace(row, student_seconds=seconds)
                                        for row in make_records("base", problems=5)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_each_call_gives_one_row_per_call(tmp_path):
    write_records(tmp_path / "fixed-20.parquet", make_records("fixed-20", problems=5))
    frame = read_records(tmp_path)
    calls = list(each_call(frame))
    assert len(calls) == frame["calls"].sum() > 0
    assert {n for _, n, _, _ in calls} == {20}


def test_read_of_empty_folder_says_what_to_run(tmp_path):
    with pytest.raises(DataError, match="dvc repro evaluate"):
        read_records(tmp_path)


def test_read_of_file_without_a_column_names_file_and_column(tmp_path):
    pd.DataFrame({"method": ["base"]}).to_parquet(tmp_path / "base.parquet")
    with pytest.raises(DataError, match=r"base\.parquet lacks benchmark"):
        read_records(tmp_path)


def test_read_of_half_a_file_names_it(tmp_path):
    (tmp_path / "base.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"base\.parquet is not Parquet"):
        read_records(tmp_path)


def test_read_of_the_same_answer_twice_is_refused(tmp_path):
    for name in ("base", "copy"):
        write_records(tmp_path / f"{name}.parquet", make_records("base", problems=2))
    with pytest.raises(DataError, match="twice"):
        read_records(tmp_path)


def test_time_limits_are_counted_apart_from_wrong_answers(tmp_path):
    rows = make_records("base", problems=4)
    late = [replace(row, correct=False, reason=TIME_LIMIT) for row in rows[:3]]
    write_records(tmp_path / "base.parquet", [*late, *rows[3:]])
    found = reward_hacking(read_records(tmp_path), max_calls=1, max_call_tokens=9)["base"]
    assert found["time_limits"] == 3
    assert dict(zip(REWARD_HACKING, reward_hacking_rows({"reward_hacking": {"base": found}})[0],
                    strict=True))["time limits"] == "3"
