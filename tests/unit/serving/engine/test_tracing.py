"""Answers as MLflow traces."""

from __future__ import annotations

import pytest

from relayllm.serving.engine.tracing import Tracer, segments_with_times
from relayllm.settings import current_settings
from tests.support.fakes_serving import scripted_decoder
from tests.support.finished_request import Served, finished_request


@pytest.fixture(scope="module")
def finished():
    return finished_request()


def test_segments_follow_each_other_in_time(finished):
    rows = segments_with_times(*finished)
    assert [row["author"] for row in rows] == ["student", "command", "teacher", "student", "command", "teacher",
                                              "student"]
    assert [row["n"] for row in rows if row["author"] == "command"] == [2, 2]
    times = [time for row in rows for time in (row["begin"], row["end"])]
    assert times == sorted(times)
    assert "".join(row["text"] for row in rows) == finished[1].text


def test_segments_of_a_call_name_its_teacher_and_what_became_of_it(finished):
    rows = segments_with_times(*finished)
    told = {"n": 2, "teacher": "scripted", "failed": False, "refused": False}
    assert all(told.items() <= row.items() for row in rows if row["author"] != "student")
    assert not any("teacher" in row for row in rows if row["author"] == "student")


def test_segment_of_a_call_that_failed_says_so():
    failing = finished_request(scripted_decoder(teacher_fault=lambda: RuntimeError("down")))
    command, = [row for row in segments_with_times(*failing) if row["author"] == "command"]
    assert (command["failed"], command["refused"], command["teacher"]) == (True, False, "scripted")


def test_folder_and_address_of_a_teacher_stand_in_no_trace():
    decoder = scripted_decoder()
    for name, shown in (("/srv/models/secret/teacher", "teacher"), ("http://10.0.0.7:8001", "remote")):
        decoder.teacher.engine.name = name
        rows = segments_with_times(*finished_request(decoder))
        assert {row["teacher"] for row in rows if "teacher" in row} == {shown}


@pytest.mark.parametrize(("share", "written"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_tracer_writes_its_share(finished, share, written):
    chances = iter([0.1, 0.6, 0.2, 0.9])
    seen = []
    tracer = Tracer(share, current_settings(), write=lambda *item: seen.append(item), chance=lambda: next(chances))
    for _ in range(4):
        tracer(Served, *finished, False)
    tracer.close()
    assert len(seen) == written
