"""Settings that calibration found: written, read, and told where a target was out of reach."""

from __future__ import annotations

import pytest

from relayllm.errors import DataError
from relayllm.evaluation.analysis.settings_found import FILE, read_settings, write_settings
from relayllm.evaluation.analysis.summary import Found, Limits, Provenance, build_summary
from relayllm.evaluation.calibration import Setting
from relayllm.evaluation.report.markdown import markdown
from relayllm.evaluation.report.render import Material, html
from tests.support.make_records import make_frame

FOUND = {"entropy": Setting(1.25, 0.04, 0.041, (0.0, 0.6)), "glimp": Setting(0.0, 0.02, 0.2, (0.0, 0.02))}


def test_settings_are_read_as_they_were_written(tmp_path):
    write_settings(tmp_path, FOUND)
    found = read_settings(tmp_path)
    assert found["entropy"] == {"setting": 1.25, "train_call_ratio": 0.04, "train_target": 0.041, "seen": [0.0, 0.6],
                                "reached": True}
    assert not found["glimp"]["reached"]


def test_no_file_is_no_settings_and_half_a_file_an_error(tmp_path):
    assert read_settings(tmp_path) == {}
    (tmp_path / FILE).write_text("{")
    with pytest.raises(DataError, match=r"settings\.json cannot be read"):
        read_settings(tmp_path)


def test_both_pages_say_what_was_out_of_reach(tmp_path):
    write_settings(tmp_path, FOUND)
    summary = build_summary(make_frame(("base", "relay-difficulty", "teacher"), problems=5),
                            Provenance("tiny", 0, "", "", {}, enable_thinking=True), Limits(4, 9), bootstrap=20,
                            relay="relay-difficulty", found=Found(settings=read_settings(tmp_path)))
    for page in (markdown(summary, Material({})), html(summary, Material({}))):
        assert "glimp was asked for a call ratio of 20.00 %" in page
        assert "entropy was asked" not in page
        assert "thinking on" in page
