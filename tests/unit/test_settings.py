"""Where things run is read from the environment."""

from __future__ import annotations

import os

import pytest

from relayllm.errors import ConfigError
from relayllm.settings import current_settings, quiet, without_secrets


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "RELAY_EXPERIMENT", "RELAY_TEACHER_URL",
                 "RELAY_TEACHERS", "RELAY_CUDA_GRAPHS", "RELAY_PARAMS", "RELAY_RUNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path))


def test_without_servers_everything_is_in_the_project(tmp_path):
    settings = current_settings()
    assert settings.tracking_uri == settings.registry_uri == f"sqlite:///{tmp_path}/.store/mlflow.db"
    assert settings.artifact_root == (tmp_path / ".store/mlartifacts").as_uri()
    assert settings.teacher_url is None
    assert (settings.runs, settings.store) == (tmp_path / "runs", tmp_path / ".store")


def test_a_tracking_server_keeps_its_own_artifacts(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    settings = current_settings()
    assert settings.registry_uri == "http://mlflow:5000"
    assert settings.artifact_root is None


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"])
@pytest.mark.parametrize("given", ["nonsense", "./mlruns", "file:///somewhere", "htp://mlflow:5000",
                                   "sqlite:/mlflow.db", "localhost:5000"])
def test_an_address_at_which_mlflow_keeps_no_store_is_refused(monkeypatch, variable, given):
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    monkeypatch.setenv(variable, given)
    with pytest.raises(ConfigError, match=rf"{variable} is '{given}'.*give http://SERVER:PORT"):
        current_settings()


@pytest.mark.parametrize("given", ["https://mlflow", "sqlite:////srv/mlflow.db", "postgresql+psycopg://me@db/mlflow",
                                   "databricks", "databricks-uc", "databricks://profile", "file:///kept"])
def test_an_address_that_mlflow_knows_is_taken_as_it_is(monkeypatch, given):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert current_settings().tracking_uri == given


def test_kernels_are_built_in_the_store_unless_the_user_says_where(monkeypatch, tmp_path):
    monkeypatch.delenv("TORCH_EXTENSIONS_DIR", raising=False)
    quiet()
    assert os.environ["TORCH_EXTENSIONS_DIR"] == str(tmp_path / ".store/torch_extensions")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", "/elsewhere")
    quiet()
    assert os.environ["TORCH_EXTENSIONS_DIR"] == "/elsewhere"


@pytest.mark.parametrize(("text", "shown"), [
    ("postgresql://relay:secret@db/mlflow", "postgresql://db/mlflow"), ("http://mlflow:5000", "http://mlflow:5000"),
    ("sqlite:////home/me/.store/mlflow.db", "sqlite:////home/me/.store/mlflow.db"),
    ("no route to http://a:b@x:1/y or https://c@z", "no route to http://x:1/y or https://z")])
def test_without_secrets_leaves_accounts_and_passwords_out(text, shown):
    assert without_secrets(text) == shown


@pytest.mark.parametrize("given", ["http://teacher:8000", "teachers.json"])
def test_pool_that_is_no_yaml_file_is_refused(monkeypatch, given):
    monkeypatch.setenv("RELAY_TEACHERS", given)
    with pytest.raises(ConfigError, match=r"give the .yaml file.*RELAY_TEACHER_URL"):
        current_settings()


def test_pool_stands_before_the_address_of_one_teacher(monkeypatch, tmp_path):
    monkeypatch.setenv("RELAY_TEACHER_URL", "http://teacher:8000")
    assert current_settings().teacher_at(tmp_path) == "http://teacher:8000"
    monkeypatch.setenv("RELAY_TEACHERS", "teachers.yaml")
    assert current_settings().teacher_at(tmp_path) == "teachers.yaml"


def test_empty_variables_count_as_unset(monkeypatch):
    monkeypatch.setenv("RELAY_TEACHER_URL", "")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "")
    assert current_settings().teacher_url is None
    assert current_settings().registry_uri == current_settings().tracking_uri


def test_static_steps_are_off_until_the_environment_says_so(monkeypatch):
    assert not current_settings().cuda_graphs
    monkeypatch.setenv("RELAY_CUDA_GRAPHS", "1")
    assert current_settings().cuda_graphs
