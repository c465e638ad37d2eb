"""Answers as MLflow traces."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from relayllm.relay.options import Options
from relayllm.relay.prices import Prices
from relayllm.serving.engine.requests import EngineRequest, RequestOutputCollector
from relayllm.serving.engine.tracing import Tracer, segments_with_times
from relayllm.settings import current_settings
from tests.support.fakes_serving import scripted_decoder
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def finished():
    return answered(scripted_decoder())


def answered(decoder):
    """One completion of a decoder: its request, with the marks of a tracer, and its trace."""
    session = decoder.session(1)
    request = EngineRequest(decoder.request("x", Options(max_new_tokens=60)), RequestOutputCollector())
    handle = session.submit(request.generation)
    done = []
    while session.busy:
        done += session.step()
        row = session.row(handle)
        request.mark(row.authors if row else done[0].trace.authors, time.monotonic())
    request.ended = request.marks[-1][0] + 1.0
    return request, done[0].trace


class Served:
    name, version, alias = "relay-decoder", "4", "champion"
    prices = Prices(student=1.0, teacher=10.0)


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
    failing = answered(scripted_decoder(teacher_fault=lambda: RuntimeError("down")))
    command, = [row for row in segments_with_times(*failing) if row["author"] == "command"]
    assert (command["failed"], command["refused"], command["teacher"]) == (True, False, "scripted")


def test_folder_and_address_of_a_teacher_stand_in_no_trace():
    decoder = scripted_decoder()
    for name, shown in (("/srv/models/secret/teacher", "teacher"), ("http://10.0.0.7:8001", "remote")):
        decoder.teacher.engine.name = name
        assert {row["teacher"] for row in segments_with_times(*answered(decoder)) if "teacher" in row} == {shown}


@pytest.mark.parametrize(("share", "written"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_tracer_writes_its_share(finished, share, written):
    chances = iter([0.1, 0.6, 0.2, 0.9])
    seen = []
    tracer = Tracer(share, current_settings(), write=lambda *item: seen.append(item), chance=lambda: next(chances))
    for _ in range(4):
        tracer(Served, *finished, False)
    tracer.close()
    assert len(seen) == written


@pytest.mark.slow
def test_trace_is_in_mlflow_with_a_span_per_segment(finished, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    settings = replace(current_settings(), root=tmp_path, tracking_uri=f"sqlite:///{tmp_path}/m.db",
                       experiment="traces")
    tracer = Tracer(1.0, settings)
    tracer(Served, *finished, True)
    tracer.close(60)
    experiment = mlflow.get_experiment_by_name("traces").experiment_id

    def found():
        return mlflow.search_traces(locations=[experiment], return_type="list")

    assert eventually(lambda: any("degraded" in trace.info.tags for trace in found()))
    trace = found()[0]
    assert trace.info.tags["degraded"] == "true"
    assert trace.data.spans[0].attributes["cost"] == pytest.approx(Served.prices.cost(finished[1].ledger))
    names = [span.name for span in trace.data.spans]
    assert names[0] == "relay answer"
    assert names.count("teacher") == 2
    spans = [span.attributes for span in trace.data.spans if span.name == "teacher"]
    assert [(span["teacher"], span["failed"], span["refused"]) for span in spans] == [("scripted", False, False)] * 2
    root = trace.data.spans[0].attributes
    assert (root["teachers"], root["degraded_by"]) == (["scripted"] * 2, [])
