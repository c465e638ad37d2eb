"""The commands that act on the registry read the params that the stages read, and wait for no server that is away."""

import pytest
import yaml

from relayllm.cli import main
from relayllm.processes import free_port
from tests.support.other_params import project_with_other_params


@pytest.fixture
def place(tmp_path, monkeypatch):
    return project_with_other_params(tmp_path, monkeypatch)


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
