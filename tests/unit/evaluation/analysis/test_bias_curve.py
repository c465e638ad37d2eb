"""The bias curve, from what was found to the summary."""

from __future__ import annotations

import pytest

from relayllm.errors import DataError
from relayllm.evaluation.analysis.bias_curve import FILE, curve, read_bias_curve, write_bias_curve
from relayllm.evaluation.analysis.summary import Found, Limits, Provenance, build_summary
from relayllm.evaluation.report.markdown import markdown
from relayllm.evaluation.report.plots import pareto
from relayllm.evaluation.report.render import Material, html
from relayllm.relay.bias_curve import OWN, CallSetting
from tests.support.make_records import MIXES, make_frame, make_records

RARER, LONGER = CallSetting(call_bias=-11.25), CallSetting(min_call_tokens=6)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_bias_curve(folder, "relay-difficulty", {"call-ratio-2x": LONGER, "call-ratio-0.5x": RARER},
                     {OWN: 0.04, RARER: 0.02})
    return read_bias_curve(folder)


@pytest.fixture(scope="module")
def summary(found):
    import pandas as pd

    biased = [row for name in ("call-ratio-0.5x", "call-ratio-2x")
              for row in make_records(name, problems=20, mix=MIXES["relay-simple"])]
    frame = pd.concat([make_frame(("base", "relay-difficulty", "teacher"), problems=20),
                       pd.DataFrame([{name: getattr(row, name) for name in row.__slots__} for row in biased])])
    return build_summary(frame, Provenance("tiny", 0, "", "", {}), Limits(4, 99), bootstrap=50,
                         relay="relay-difficulty", found=Found(bias_curve=found))


def test_what_was_found_is_read_as_it_was_written(found):
    assert found["settings"] == {"call-ratio-2x": LONGER, "call-ratio-0.5x": RARER}
    assert found["training"] == [{"call_bias": -11.25, "min_call_tokens": 1, "call_ratio": 0.02},
                                 {"call_bias": 0.0, "min_call_tokens": 1, "call_ratio": 0.04}]


def test_curve_goes_from_the_cheapest_setting_to_the_dearest_through_the_policy_itself(summary):
    points = summary["bias_curve"]["points"]
    assert [(point["method"], point["call_bias"], point["min_call_tokens"]) for point in points] == [
        ("call-ratio-0.5x", -11.25, 1), ("relay-difficulty", 0.0, 1), ("call-ratio-2x", 0.0, 6)]
    own = summary["methods"]["relay-difficulty"]["average"]
    assert (points[1]["accuracy"], points[1]["call_ratio"]) == (own["accuracy"], own["call_ratio"])


def test_both_reports_show_the_curve(summary):
    text = markdown(summary, Material({}))
    assert "| call-ratio-0.5x | -11.25 | as asked |" in text
    assert "| call-ratio-2x | +0.00 | at least 6 |" in text
    assert "<td>-11.25</td>" in html(summary, Material({}))


def test_pareto_joins_the_points_of_the_bias_curve(summary):
    line = next(line for line in pareto(summary).axes[0].lines if list(line.get_ydata()) == [
        point["accuracy"] for point in summary["bias_curve"]["points"]])
    assert list(line.get_xdata()) == [point["call_ratio"] for point in summary["bias_curve"]["points"]]


def test_without_call_ratio_methods_there_is_no_curve(tmp_path):
    assert read_bias_curve(tmp_path) is None
    assert curve({}, None) is None


def test_damaged_file_is_named(tmp_path):
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(DataError, match=r"bias_curve\.json.*dvc repro"):
        read_bias_curve(tmp_path)
