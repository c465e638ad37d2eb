"""What a stage measures is reported once: to the file that DVC reads, and to MLflow."""

from __future__ import annotations

import io
import json

from relayllm.tracking.provenance import data_digest, file_hash
from relayllm.tracking.run import StageRun, current, report_metrics


def sent(pipe: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in pipe.getvalue().splitlines()]


def test_metrics_nested_values_become_names_with_slashes():
    pipe = io.StringIO()
    StageRun(pipe).metrics({"a": {"b": 1, "c": {"d": 2.5}}, "text": "no", "nan": float("nan"), "flag": True}, step=3)
    [message] = sent(pipe)
    assert message["values"] == {"a/b": 1.0, "a/c/d": 2.5, "flag": 1.0}
    assert message["step"] == 3


def test_report_writes_the_file_and_logs_outside_of_a_stage_nowhere(tmp_path):
    report_metrics(tmp_path / "metrics" / "x.json", {"rows": 3, "nested": {"share": 0.5}})
    assert json.loads((tmp_path / "metrics/x.json").read_text()) == {"rows": 3, "nested": {"share": 0.5}}
    current().metric("anything", 1.0)


def test_run_whose_writer_died_lets_the_stage_go_on():
    class Broken(io.StringIO):
        def flush(self):
            raise BrokenPipeError

    run = StageRun(Broken())
    run.metric("a", 1.0)
    run.metric("a", 2.0)
    run.table("rows", [{"x": 1}])


def test_data_digest_is_dvcs_without_the_folders_suffix(tmp_path):
    (tmp_path / "data.dvc").write_text("outs:\n- md5: 0123456789abcdef0123456789abcdef.dir\n  path: data\n")
    assert data_digest(tmp_path) == "0123456789abcdef0123456789abcdef"
    assert data_digest(tmp_path / "nowhere") == ""


def test_file_hash_is_md5(tmp_path):
    (tmp_path / "x").write_text("abc")
    assert file_hash(tmp_path / "x") == "900150983cd24fb0d6963f7d28e17f72"
    assert file_hash(tmp_path / "y") == ""
