"""The package as a folder."""

import pytest

from relayllm.errors import ModelError
from relayllm.packaging.folder import TeacherSource, content_hash, open_package
from tests.support.small_packages import hollow_package


def test_open_package_reads_record_outcomes_and_parity(tmp_path):
    package = open_package(hollow_package(tmp_path / "p", 5))
    assert package.metrics["average"]["accuracy"] == 0.5
    assert package.problem_scores()["pens"]["pens-0"] == (1.0, 2.0, 40.0)
    assert package.parity[0].token_ids == (1, 2)


def test_open_package_other_folder_names_what_to_give(tmp_path):
    with pytest.raises(ModelError, match="models:/relay-decoder@champion"):
        open_package(tmp_path)


def test_open_package_half_written_record_is_refused(tmp_path):
    folder = hollow_package(tmp_path / "p")
    (folder / "artifacts/relay.json").write_text('{"format": 1, ')
    with pytest.raises(ModelError, match="cannot be read"):
        open_package(folder)


def test_open_package_of_a_later_format_names_both(tmp_path):
    with pytest.raises(ModelError, match=r"format 9, this version reads 1"):
        open_package(hollow_package(tmp_path / "p", format=9))


def test_open_package_without_teacher_weights_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("RELAY_TEACHER_URL", raising=False)
    folder = hollow_package(tmp_path / "p")
    (folder / "artifacts/teacher/model.safetensors").unlink()
    with pytest.raises(ModelError, match="teacher"):
        open_package(folder)


def test_teacher_address_follows_kind_and_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("RELAY_TEACHER_URL", raising=False)
    assert TeacherSource("embedded").address(tmp_path) == str(tmp_path / "artifacts/teacher")
    assert TeacherSource("hub", "Qwen/Qwen3-8B", "abc").address(tmp_path) == "Qwen/Qwen3-8B"
    with pytest.raises(ModelError, match="RELAY_TEACHER_URL"):
        TeacherSource("endpoint").address(tmp_path)
    monkeypatch.setenv("RELAY_TEACHER_URL", "http://teacher:8001/v1")
    assert TeacherSource("endpoint").address(tmp_path) == "http://teacher:8001/v1"


def test_content_hash_sees_names_and_bytes_but_no_caches(tmp_path):
    (tmp_path / "a").write_text("1")
    before = content_hash(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/x.pyc").write_text("2")
    assert content_hash(tmp_path) == before
    (tmp_path / "a").rename(tmp_path / "b")
    assert content_hash(tmp_path) != before


def test_open_package_of_format_1_is_read_under_its_old_names(tmp_path):
    """As one was packed whose curve was called a dial, and its problem scores outcomes."""
    measured = [{"call_bias": -4.0, "call_ratio": 0.01}, {"call_bias": 0.0, "call_ratio": 0.03}]
    folder = hollow_package(tmp_path / "p", 5, format=1, dial={"points": [], "training": measured})
    (folder / "artifacts/problem_scores.json").rename(folder / "artifacts/outcomes.json")
    package = open_package(folder)
    assert package.bias_curve.setting_for(0.02).call_bias == pytest.approx(-2.0)
    assert package.problem_scores()["pens"]["pens-0"] == (1.0, 2.0, 40.0)
