"""Answers as MLflow traces, in MLflow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relayllm.serving.engine.tracing import Tracer
from relayllm.settings import current_settings
from tests.support.finished_request import Served, finished_request
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def finished():
    return finished_request()


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
