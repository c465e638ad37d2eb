"""The commands that act on the registry read the params that the stages read, and wait for no server that is away."""

import pytest
import yaml

from relayllm.cli import main
from relayllm.processes import free_port
from tests.support.places import ROOT


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project whose RELAY_PARAMS names another model than its params.yaml."""
    params = yaml.safe_load((ROOT / "params/smoke.yaml").read_text())
    for file, name in (("params.yaml", "ours"), ("other.yaml", "theirs")):
        params["package"]["registered_name"] = name
        (tmp_path / file).write_text(yaml.safe_dump(params))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path))
    monkeypatch.setenv("RELAY_PARAMS", str(tmp_path / "other.yaml"))
    return tmp_path


@pytest.mark.slow
def test_registry_command_takes_its_name_from_relay_params(place, capsys):
    assert main(["rollback"]) == 1
    assert "RegistryError: theirs has no champion" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["rollback"], ["compare", "1", "2"], ["promote", "1"], ["check"]])
def test_registry_command_without_its_server_is_one_sentence(place, capsys, monkeypatch, words):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    assert main(words) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("relay: RegistryError: the registry is http://127.0.0.1")
    assert "nobody answers there" in line


def test_plan_reads_relay_params(place, capsys):
    params = yaml.safe_load((place / "other.yaml").read_text())
    (place / "other.yaml").write_text(yaml.safe_dump({**params, "profile": "elsewhere"}))
    assert main(["plan"]) == 0
    assert "Profile elsewhere" in capsys.readouterr().out
