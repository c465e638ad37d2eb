"""The benchmark's command writes what it measured."""

from __future__ import annotations

import json

import pytest

from benchmarks import bandwidth, measures
from benchmarks.decode import main


@pytest.mark.slow
def test_json_holds_values_goals_machine_and_sizes(tmp_path, monkeypatch):
    tiny = measures.Size(rows=2, prompt=(10, 20), length=(24, 30), one_row=24, near=40, far=80, most_rows=2, scan=3,
                         roll_out=3, repeats=1)
    monkeypatch.setattr(measures, "QUICK", tiny)
    monkeypatch.setattr(bandwidth, "COPIED", 1 << 20)
    main(["--pair", "small", "--dtype", "float32", "--quick", "--json", str(tmp_path / "b.json"), "--plot",
          str(tmp_path / "rows.png"), "--only", "one_row", "hand_over", "rows", "many_rows", "decode_steps"])
    found = json.loads((tmp_path / "b.json").read_text())
    assert found["models"]["student_parameters"] < found["models"]["teacher_parameters"]
    assert found["machine"]["cores"]
    assert found["measures"]["vs_released_32_rows"]["goal"] == 2.0
    assert {"value", "goal"} <= set(found["measures"]["hand_over_far_vs_near"])
    step = found["measures"]["decode_step_teacher"]["details"]
    assert set(step["seconds"]) == {"ordinary", "static"}
    assert step["bytes_read"] > found["measures"]["decode_step_student"]["details"]["bytes_read"]
    assert isinstance(found["machine"]["native_bfloat16"], bool)
    assert (tmp_path / "rows.png").stat().st_size > 1000
